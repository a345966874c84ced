"""What an operator's `restore` does to a tenant: a decision about what it is and what it has.

::

    closed, failed without its database ─▶ a fresh database gets the backup; the tenant waits
    closing ─▶ resumed: its own database is still there; past the point of no return its proof is
    active, suspended ─┬─ detached ─▶ a copy beside it, bound to nothing, to be looked at
                       └─ replace ──▶ proven, the copy takes its place; what it had stays, detached

What it had is never deleted here: whoever restores may have chosen the wrong backup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias, assert_never

from shared.domain.backup import Backup, BackupStatus, Restore
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import NO_CLOSING, OperatorWord, Tenant, TenantStatus

__all__ = [
    "AwaitTenant",
    "BringBack",
    "CopyBeside",
    "IsSwapped",
    "IsUnderWay",
    "RefuseRestore",
    "Replace",
    "RestoreAction",
    "Resume",
    "Swap",
    "SwapAction",
    "plan_restore",
    "plan_swap",
]


@dataclass(frozen=True)
class BringBack:
    """Restore the backup; the tenant waits for it as `pending`."""

    backup: Backup
    pending: Tenant


@dataclass(frozen=True)
class Replace:
    """Restore the backup beside what the tenant has; it takes its place once it is proven."""

    backup: Backup
    replaced: Database


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


RestoreAction: TypeAlias = BringBack | Replace | CopyBeside | Resume | IsUnderWay | RefuseRestore


@dataclass(frozen=True)
class Swap:
    """The tenant waits from now on as `pending`; what it had is put `aside`, unless it is gone."""

    pending: Tenant
    aside: Database | None


@dataclass(frozen=True)
class AwaitTenant:
    """Its tenant, or what it has, is on its way to where it should be: let it arrive first."""


@dataclass(frozen=True)
class IsSwapped:
    """Its tenant waits for it and has no other database."""


SwapAction: TypeAlias = Swap | AwaitTenant | IsSwapped | RefuseRestore

_GONE: Final = frozenset(
    {DatabaseStatus.DELETED, DatabaseStatus.QUARANTINED, DatabaseStatus.DETACHED}
)
_CLOSING_IS_OVER: Final[dict[str, Any]] = {
    **NO_CLOSING,
    "final_backup_id": None,
}

_REPLACED: Final = frozenset({TenantStatus.ACTIVE, TenantStatus.SUSPENDED, TenantStatus.FAILED})


def plan_restore(
    tenant: Tenant,
    database: Database | None,
    backups: Sequence[Backup],
    *,
    wanted: str | None,
    detached: bool,
    replace: bool,
    under_way: Restore | None,
    now: datetime,
) -> RestoreAction:
    """Say what a restore does.

    `database` is the tenant's; `backups` are its own, the newest first; `wanted` is the id of one
    of them, None for the newest proven one; `under_way` is the restore that the tenant waits for.
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
        case _ if under_way is not None and _waits(tenant, replace):
            return _under_way(tenant, under_way, wanted)
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


def _waits(tenant: Tenant, replace: bool) -> bool:
    """Say whether a tenant with a restore waits for it, or is served until it is proven."""
    return tenant.status is TenantStatus.PENDING or (replace and tenant.database_ulid is not None)


def _under_way(tenant: Tenant, restore: Restore, wanted: str | None) -> RestoreAction:
    if wanted in {None, restore.backup_id}:
        return IsUnderWay(restore.restore_id)
    return RefuseRestore(
        f"backup {restore.backup_id} is being restored for {tenant.tenant_id}: wait until that is "
        "done, then restore another with --replace"
    )


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


def _waiting(tenant: Tenant, now: datetime, *, asked_at: datetime | None = None) -> Tenant:
    """Return the tenant as it waits for its data; that it comes back is the operator's word."""
    word: dict[str, Any] = {"operator": OperatorWord.RESUME, "operator_at": asked_at or now}
    if asked_at is not None and tenant.operator_at is not None and asked_at < tenant.operator_at:
        word = {}  # an operator said something newer than the restore
    return tenant.without_database(
        now, **_CLOSING_IS_OVER, **word, reason=None, returning="restored"
    )


def _instead(
    tenant: Tenant, database: Database | None, backup: Backup, now: datetime
) -> RestoreAction:
    if database is None or database.status in _GONE:
        return BringBack(backup, _waiting(tenant, now))
    if database.status is DatabaseStatus.CLAIMED:
        return Replace(backup, database)
    return RefuseRestore(
        f"the database {database.name} is {database.status}, on its way back from a closing: try "
        "again in a minute"
    )


def plan_swap(
    tenant: Tenant, replaced: Database | None, restore: Restore, now: datetime
) -> SwapAction:
    """Say what comes next for a proven restore that takes the place of what its tenant has.

    Only now is the tenant cut off: a backup that can't be restored must cost it nothing. Its
    `restore_id` is this restore's.
    """
    if tenant.past_no_return or tenant.database_ulid != restore.replaces:
        return IsSwapped()
    if tenant.status is TenantStatus.ACTIVATING:
        return AwaitTenant()
    if tenant.status not in _REPLACED:
        return RefuseRestore(
            f"{tenant.tenant_id} is {tenant.status} by now and keeps the database that it has"
        )
    pending = _waiting(tenant, now, asked_at=restore.created_at)
    if replaced is None or replaced.status in _GONE:
        return Swap(pending, None)
    if replaced.status is not DatabaseStatus.CLAIMED:
        return AwaitTenant()
    reason = "a restore took its place; its data is as it was"
    aside = replaced.moved(DatabaseStatus.DETACHED, now, reason=reason)
    return Swap(pending, aside)
