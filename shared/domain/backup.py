"""Backups and restores: long pieces of work, each with a record that says how far it is.

::

    backup:   wanted ─▶ proven ─▶ erased          restore:  wanted ─▶ importing ─▶ proven ─▶ done
                 └────▶ refused ─▶ wanted                      └──────────┴────▶ refused ─▶ wanted

A backup is `proven` once the very bytes that are stored were loaded into a fresh SQLite and found
equal to the live database. `refused`: a person must look, the reason says how to go on.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from shared.domain.lifecycle import Instant, Record

__all__ = ["Backup", "BackupReason", "BackupStatus", "Restore", "RestoreStatus", "is_proof"]


class BackupStatus(StrEnum):
    """Name what a backup is."""

    WANTED = "wanted"
    PROVEN = "proven"
    REFUSED = "refused"
    ERASED = "erased"


class BackupReason(StrEnum):
    """Name why a backup is made."""

    CLOSING = "closing"
    OPERATOR = "operator"


_B = BackupStatus
_BACKUP_NEXT: Final = {
    _B.WANTED: frozenset({_B.PROVEN, _B.REFUSED}),
    _B.PROVEN: frozenset({_B.ERASED}),
    _B.REFUSED: frozenset({_B.WANTED, _B.ERASED}),
    _B.ERASED: frozenset[BackupStatus](),
}


class Backup(Record):
    """Hold what is known of one backup.

    `closing_id` says which closing of the tenant it belongs to, if any; `block` that the database
    may be kept from answering meanwhile (D1's export does that). Once proven: `key` and
    `version_id` name the object in the bucket, `size` is in bytes, `sha256` and `md5` (hex) are of
    its bytes, `digest` (hex) of the database's content, `bookmark` is Time Travel's of that content
    and `keep_until` when the bucket lets go of it.
    """

    backup_id: str
    tenant_id: str
    status: BackupStatus
    because: BackupReason
    database_ulid: str
    closing_id: str | None = None
    block: bool = False
    method: str = ""
    key: str = ""
    version_id: str = ""
    size: int = 0
    sha256: str = ""
    md5: str = ""
    digest: str = ""
    bookmark: str = ""
    tables: int = 0
    rows: int = 0
    proven_at: Instant | None = None
    keep_until: Instant | None = None

    @property
    def settled(self) -> bool:
        """Say whether nothing is on its way for this backup."""
        return self.status is not BackupStatus.WANTED

    def moved(self, to: BackupStatus, now: datetime, **changes: Any) -> "Backup":
        """Return the backup in its next status.

        Raises:
            BadTransition: the lifecycle has no such step.
        """
        return self._moved(to, now, _BACKUP_NEXT, changes)


def is_proof(backup: Backup | None, *, database_ulid: str, closing_id: str | None) -> bool:
    """Say whether a backup proves this very closing of this very database.

    One of an earlier closing is none: the tenant may have come back and written since.
    """
    return (
        backup is not None
        and backup.status is BackupStatus.PROVEN
        and backup.database_ulid == database_ulid
        and closing_id is not None
        and backup.closing_id == closing_id
    )


class RestoreStatus(StrEnum):
    """Name how far a restore is."""

    WANTED = "wanted"
    IMPORTING = "importing"
    PROVEN = "proven"
    DONE = "done"
    REFUSED = "refused"


_R = RestoreStatus
_RESTORE_NEXT: Final = {
    _R.WANTED: frozenset({_R.IMPORTING, _R.REFUSED}),
    _R.IMPORTING: frozenset({_R.PROVEN, _R.REFUSED}),
    _R.PROVEN: frozenset({_R.DONE, _R.REFUSED}),
    _R.DONE: frozenset[RestoreStatus](),
    _R.REFUSED: frozenset({_R.WANTED}),
}


class Restore(Record):
    """Hold what is known of one restore of a backup into a fresh database.

    `database_ulid` is the fresh one, recorded before anything is created; `replaces` the one that
    the tenant has now, which is unbound and seen gone before the fresh one is bound. A `detached`
    one is bound to nothing: it is there to be looked at.
    """

    restore_id: str
    backup_id: str
    tenant_id: str
    status: RestoreStatus
    database_ulid: str
    replaces: str | None = None
    detached: bool = False

    @property
    def settled(self) -> bool:
        """Say whether nothing is on its way for this restore."""
        return self.status in {RestoreStatus.DONE, RestoreStatus.REFUSED}

    def moved(self, to: RestoreStatus, now: datetime, **changes: Any) -> "Restore":
        """Return the restore in its next status.

        Raises:
            BadTransition: the lifecycle has no such step.
        """
        return self._moved(to, now, _RESTORE_NEXT, changes)
