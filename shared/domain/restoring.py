"""What an operator's `restore` does to a tenant: a decision about what it is and what it has.

::

    closed, failed without its database ─▶ a fresh database gets the backup; the tenant waits
    closing ─▶ resumed: its own database is still there; past the point of no return its proof is
    active, suspended ─┬─ detached ─▶ a copy beside it, bound to nothing, to be looked at
                       └─ replace ──▶ the copy takes its place; what it had stays, detached

What it had is never deleted here: whoever restores may have chosen the wrong backup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from shared.domain.backup import Backup, BackupStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus

__all__ = [
    "BringBack",
    "CopyBeside",
    "IsUnderWay",
    "RefuseRestore",
    "RestoreAction",
    "Resume",
    "plan_restore",
]


@dataclass(frozen=True)
class BringBack:
    """Restore the backup; the tenant waits for it as `pending`, its `replaced` one is put aside."""

    backup: Backup
    pending: Tenant
    replaced: Database | None = None


@dataclass(frozen=True)
class CopyBeside:
    """Restore the backup into a database that nobody uses."""

    backup: Backup


@dataclass(frozen=True)
class Resume:
    """No restore has to be asked for: the tenant comes back as soon as its closing is undone."""


@dataclass(frozen=True)
class IsUnderWay:
    """A restore was asked for already, and its tenant waits for it."""

    restore_id: str


@dataclass(frozen=True)
class RefuseRestore:
    """It makes no sense as things are; the reason says what would."""

    reason: str


RestoreAction: TypeAlias = BringBack | CopyBeside | Resume | IsUnderWay | RefuseRestore

_GONE: Final = frozenset(
    {DatabaseStatus.DELETED, DatabaseStatus.QUARANTINED, DatabaseStatus.DETACHED}
)
_CLOSING_IS_OVER: Final[dict[str, Any]] = {
    "closing_id": None,
    "grace_ends_at": None,
    "access_cut_at": None,
    "without_backup": False,
    "past_no_return": False,
    "final_backup_id": None,
}


def plan_restore(
    tenant: Tenant,
    database: Database | None,
    backups: Sequence[Backup],
    *,
    wanted: str | None,
    detached: bool,
    replace: bool,
    now: datetime,
) -> RestoreAction:
    """Say what a restore does.

    `database` is the tenant's; `backups` are its own, the newest first; `wanted` is the id of one
    of them, None for the newest proven one.
    """
    backup = _chosen(tenant, backups, wanted, now)
    if detached:
        return backup if isinstance(backup, RefuseRestore) else CopyBeside(backup)
    match tenant.status:
        case TenantStatus.CLOSING:
            if wanted is None and not replace:
                return Resume()
            return RefuseRestore(
                f"{tenant.tenant_id} is closing and still has its database: `d1fleet tenants resume"
                f" {tenant.tenant_id}` first, then restore with --replace"
            )
        case TenantStatus.PENDING if tenant.restore_id is not None:
            return IsUnderWay(tenant.restore_id)
        case TenantStatus.PENDING if tenant.wants_restore:
            return Resume()  # past the point of no return: its proof is restored without this word
        case TenantStatus.PENDING | TenantStatus.ACTIVATING:
            return RefuseRestore(
                f"{tenant.tenant_id} is {tenant.status}: wait until it is active, or restore a "
                "copy with --detached"
            )
        case TenantStatus.CLOSED | TenantStatus.FAILED:
            if isinstance(backup, RefuseRestore):
                return backup
            return _back(tenant, database, backup, replace=replace, now=now)
        case TenantStatus.ACTIVE | TenantStatus.SUSPENDED:
            if isinstance(backup, RefuseRestore):
                return backup
            if not replace:
                return RefuseRestore(
                    f"{tenant.tenant_id} is {tenant.status} and has its data: --detached restores "
                    "a copy to look at, --replace puts the backup in its place"
                )
            return _instead(tenant, database, backup, now)
        case _:
            assert_never(tenant.status)


def _chosen(
    tenant: Tenant, backups: Sequence[Backup], wanted: str | None, now: datetime
) -> Backup | RefuseRestore:
    """Return the backup that is meant, if it is one that brings the data back."""
    see = f"see `d1fleet backups {tenant.tenant_id}`"
    # What the bucket let go of must not cost a tenant the database that it has.
    backups = [each for each in backups if each.keep_until is None or now < each.keep_until]
    if wanted is None:
        proven = (each for each in backups if each.status is BackupStatus.PROVEN)
        return next(proven, RefuseRestore(f"{tenant.tenant_id} has no proven backup: {see}"))
    for backup in backups:
        if backup.backup_id == wanted:
            if backup.status is BackupStatus.PROVEN:
                return backup
            return RefuseRestore(f"backup {wanted} is {backup.status}, not proven: {see}")
    return RefuseRestore(f"{tenant.tenant_id} has no backup {wanted}: {see}")


def _back(
    tenant: Tenant, database: Database | None, backup: Backup, *, replace: bool, now: datetime
) -> RestoreAction:
    if database is None or database.status in _GONE:
        return BringBack(backup, _waiting(tenant, now))
    if replace:
        return _instead(tenant, database, backup, now)
    return RefuseRestore(
        f"{tenant.tenant_id} is {tenant.status} and its database {database.name} is there: "
        f"`d1fleet tenants retry {tenant.tenant_id}`, or restore with --replace"
    )


def _waiting(tenant: Tenant, now: datetime) -> Tenant:
    """Return the tenant as it waits for its data; that it comes back is the operator's word."""
    return tenant.without_database(
        now,
        **_CLOSING_IS_OVER,
        reason=None,
        operator=OperatorWord.RESUME,
        operator_at=now,
        returning="restored",
    )


def _instead(
    tenant: Tenant, database: Database | None, backup: Backup, now: datetime
) -> RestoreAction:
    if database is None or database.status in _GONE:
        return BringBack(backup, _waiting(tenant, now))
    if database.status is DatabaseStatus.CLAIMED:
        return BringBack(backup, _waiting(tenant, now), database)
    return RefuseRestore(
        f"the database {database.name} is {database.status}, on its way back from a closing: try "
        "again in a minute"
    )
