"""How a tenant leaves: one recorded step after the other, each of which can be done again.

::

    access cut ─▶ grace over ─▶ exporting ─▶ proven ─▶ unbinding ─▶ seen gone ─▶ bookmark the same
                                   (backup)                                          │
                                              closed ◀─ deleted ◀─ deleting ◀────────┘
                                                                 point of no return

Up to the point of no return the tenant may come back between any two steps. What is decided here
deletes nothing: it only says that the point may be passed, and the transaction that passes it has
all of this as its conditions.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from shared.domain.backup import Backup, BackupStatus, is_proof
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant

__all__ = [
    "AwaitBackup",
    "AwaitBound",
    "AwaitDeletion",
    "AwaitGone",
    "AwaitUntil",
    "BeginExport",
    "BeginUnbinding",
    "CloseEmpty",
    "PassNoReturn",
    "ReadBookmark",
    "RequestBackup",
    "StopLeaving",
    "TeardownAction",
    "plan_teardown",
]


PROOF_LASTS: Final = timedelta(hours=20)
"""Less than the shortest time for which a bucket keeps a backup."""


@dataclass(frozen=True)
class AwaitUntil:
    """Nothing may happen before this moment; `why` is for people."""

    moment: datetime
    why: str


@dataclass(frozen=True)
class BeginExport:
    """Write down that the database leaves; from here on it is backed up."""


@dataclass(frozen=True)
class RequestBackup:
    """Ask for a backup of this closing."""


@dataclass(frozen=True)
class AwaitBackup:
    """Wait until the backup is proven."""


@dataclass(frozen=True)
class BeginUnbinding:
    """Take the database's binding away."""


@dataclass(frozen=True)
class AwaitGone:
    """Wait until the running shard was seen without the database."""


@dataclass(frozen=True)
class AwaitBound:
    """The database was coming back when the tenant left again: wait until it is there."""


@dataclass(frozen=True)
class ReadBookmark:
    """Ask D1 whether anything was written since the proof."""


@dataclass(frozen=True)
class PassNoReturn:
    """All is proven: pass the point of no return, if the breaker permits it."""


@dataclass(frozen=True)
class AwaitDeletion:
    """The point is passed: the database goes on by itself."""


@dataclass(frozen=True)
class CloseEmpty:
    """There is no database: nothing has to be proven, the tenant is closed."""


@dataclass(frozen=True)
class StopLeaving:
    """A person must look before this can go on."""

    reason: str


TeardownAction: TypeAlias = (
    AwaitUntil
    | BeginExport
    | RequestBackup
    | AwaitBackup
    | BeginUnbinding
    | AwaitGone
    | AwaitBound
    | ReadBookmark
    | PassNoReturn
    | AwaitDeletion
    | CloseEmpty
    | StopLeaving
)


def plan_teardown(
    tenant: Tenant,
    database: Database | None,
    *,
    backup: Backup | None,
    gone: bool,
    bookmark: str | None,
    access_settle: timedelta,
    now: datetime,
) -> TeardownAction:
    """Say what comes next for a closing tenant whose access is cut in the directory.

    `backup` is the newest one of this closing; `gone` says that the database's shard was seen
    without it; `bookmark` is D1's present one, None when it was not asked for in this attempt.
    """
    if tenant.grace_ends_at is not None and now < tenant.grace_ends_at:
        return AwaitUntil(tenant.grace_ends_at, "the grace period")
    if database is None or database.status is DatabaseStatus.DELETED:
        return CloseEmpty()
    # Stale caches may still let somebody in.
    settled_at = (tenant.access_cut_at or now) + access_settle
    if now < settled_at:
        return AwaitUntil(settled_at, "caches that may still grant access")
    match database.status:
        case DatabaseStatus.CLAIMED:
            return BeginExport()
        case DatabaseStatus.EXPORTING:
            return BeginUnbinding() if tenant.without_backup else _backed_up(tenant, backup)
        case DatabaseStatus.UNBINDING:
            return _unbinding(tenant, backup, gone=gone, bookmark=bookmark, now=now)
        case DatabaseStatus.DELETING:
            return AwaitDeletion()
        case DatabaseStatus.REBINDING:
            return AwaitBound()
        case _:
            return StopLeaving(
                f"the database {database.name} is {database.status}"
                + (f": {database.reason}" if database.reason else "")
            )


def _backed_up(tenant: Tenant, backup: Backup | None) -> TeardownAction:
    if backup is None or backup.closing_id != tenant.closing_id:
        return RequestBackup()
    match backup.status:
        case BackupStatus.WANTED:
            return AwaitBackup()
        case BackupStatus.PROVEN:
            return BeginUnbinding()
        case BackupStatus.REFUSED:
            return StopLeaving(f"it can't be backed up: {backup.reason}")
        case BackupStatus.ERASED:
            return RequestBackup()


def _unbinding(
    tenant: Tenant, backup: Backup | None, *, gone: bool, bookmark: str | None, now: datetime
) -> TeardownAction:
    if not gone:
        return AwaitGone()
    if tenant.without_backup:
        return PassNoReturn()
    step = _backed_up(tenant, backup)
    if not isinstance(step, BeginUnbinding) or backup is None:
        return step
    if not is_proof(backup, database_ulid=tenant.database_ulid or "", closing_id=tenant.closing_id):
        return RequestBackup()
    if not _is_fresh(backup, now):
        return RequestBackup()
    if bookmark is None:
        return ReadBookmark()
    # Somebody wrote after the proof: what is stored is not what would be deleted.
    return PassNoReturn() if bookmark == backup.bookmark else RequestBackup()


def _is_fresh(backup: Backup, now: datetime) -> bool:
    """Say whether a proof is young: the bucket lets go of old ones, whatever the delay was."""
    return backup.proven_at is not None and now - backup.proven_at < PROOF_LASTS
