"""The receipt of an erasure: that somebody's data is gone, without saying whose it was.

The tenant is named by a hash only. Whoever knows the id can find the receipt of it; nobody reads
the id out of it, not even by trying likely ids at another fleet.
"""

import hashlib
from datetime import datetime

from pydantic import BaseModel, ConfigDict

from shared.domain.backup import Backup, BackupStatus
from shared.domain.lifecycle import Instant
from shared.domain.tenant import Tenant

__all__ = [
    "ErasedBackup",
    "ErasedDatabase",
    "Erasure",
    "emptied",
    "tenant_hash",
    "tombstone",
]


def tenant_hash(fleet_uid: str, tenant_id: str) -> str:
    """Return a tenant's name in receipts: hex SHA-256 of the fleet's uid, line feed, its id."""
    return hashlib.sha256(f"{fleet_uid}\n{tenant_id}".encode()).hexdigest()


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ErasedDatabase(_Part):
    """Name a database of the tenant that was deleted, and when its tenant was closed."""

    database_name: str
    database_id: str | None = None
    closed_at: Instant | None = None


class ErasedBackup(_Part):
    """Name a backup whose every version was deleted."""

    backup_id: str
    created_at: Instant


class Erasure(_Part):
    """Hold one erasure: begun before anything is erased, `erased_at` set once all of it is.

    `episode` is the last life of the id that it covers.
    """

    receipt_id: str
    tenant_hash: str
    episode: int
    begun_at: Instant
    erased_at: Instant | None = None
    databases: tuple[ErasedDatabase, ...] = ()
    backups: tuple[ErasedBackup, ...] = ()

    def with_more(
        self, databases: tuple[ErasedDatabase, ...], backups: tuple[ErasedBackup, ...]
    ) -> "Erasure":
        """Return the receipt with what it does not name yet; itself if it names all of it.

        An erasure that was cut off has removed what it named first: it is not found a second time.
        """
        named = {one.database_name for one in self.databases} | {
            one.backup_id for one in self.backups
        }
        new = tuple(one for one in databases if one.database_name not in named)
        news = tuple(one for one in backups if one.backup_id not in named)
        if not new and not news:
            return self
        changes = {"databases": (*self.databases, *new), "backups": (*self.backups, *news)}
        return self.model_copy(update={**changes, "erased_at": None})


def emptied(backup: Backup, now: datetime) -> Backup:
    """Return a backup that is no more: it says that it was there, and nothing of what was in it."""
    return backup.moved(
        BackupStatus.ERASED,
        now,
        reason=None,
        key="",
        version_id="",
        size=0,
        sha256="",
        md5="",
        digest="",
        bookmark="",
        tables=0,
        rows=0,
    )


def tombstone(tenant: Tenant, now: datetime) -> Tenant:
    """Return what stays of a closed tenant: its id, and the times that keep late events out.

    The same object when nothing else is left. The id stays, opaque as it is: an event that comes
    late must find that this tenant is gone, or it would bring it back.
    """
    nothing = {
        "display_name": None,
        "reason": None,
        "operator": None,
        "operator_at": None,
        "grace": None,
        "final_backup_id": None,
        "restore_id": None,
    }
    if all(getattr(tenant, name) is None for name in nothing):
        return tenant
    return tenant.changed(now, **nothing)
