"""What comes next for a tenant or a database: pure decisions, each a closed union of actions.

No clock, no I/O: the use cases gather what should be and what is, ask here, and apply the answer.
There is no action that deletes.
"""

from dataclasses import dataclass
from typing import TypeAlias

from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus

__all__ = [
    "AwaitBinding",
    "AwaitDatabase",
    "AwaitRebinding",
    "AwaitRestore",
    "BeginRestore",
    "Claim",
    "ConfirmLive",
    "CreateDatabase",
    "DatabaseAction",
    "Fail",
    "FinishDatabase",
    "KeepDatabase",
    "Leave",
    "Migrate",
    "MigrateFirst",
    "Nothing",
    "PublishRoute",
    "SettleRoute",
    "TenantAction",
    "plan_database",
    "plan_refill",
    "plan_tenant",
]


@dataclass(frozen=True)
class Nothing:
    """All is as it should be."""


@dataclass(frozen=True)
class Claim:
    """Take a ready database for the tenant."""


@dataclass(frozen=True)
class AwaitDatabase:
    """No database is ready: ask for one and wait."""


@dataclass(frozen=True)
class Fail:
    """A person must act before this can go on."""

    reason: str


@dataclass(frozen=True)
class MigrateFirst:
    """Bring the claimed database to the head before anybody uses it."""


@dataclass(frozen=True)
class PublishRoute:
    """Tell the directory where the tenant's database is, and whether it may be used."""

    state: str


@dataclass(frozen=True)
class ConfirmLive:
    """See the router answer from that very database, and only then call the tenant active."""


@dataclass(frozen=True)
class SettleRoute:
    """Write down that the directory holds the tenant's state."""

    state: str


@dataclass(frozen=True)
class KeepDatabase:
    """Take back what a closing began with the database: the tenant stays."""


@dataclass(frozen=True)
class AwaitRebinding:
    """Wait until the database is bound again."""


@dataclass(frozen=True)
class BeginRestore:
    """Ask for the backup that was proven before the tenant's database was deleted."""

    backup_id: str


@dataclass(frozen=True)
class AwaitRestore:
    """Wait until a backup is restored."""


@dataclass(frozen=True)
class Leave:
    """Go on with leaving: `shared.domain.teardown` says how."""


TenantAction: TypeAlias = (
    Nothing
    | Claim
    | AwaitDatabase
    | Fail
    | MigrateFirst
    | PublishRoute
    | ConfirmLive
    | SettleRoute
    | KeepDatabase
    | AwaitRebinding
    | BeginRestore
    | AwaitRestore
    | Leave
)


def plan_tenant(
    tenant: Tenant,
    *,
    database: Database | None,
    head: str,
    routed: str | None,
    blocked: str | None,
    tried_claim: bool,
) -> TenantAction:
    """Say what comes next for a tenant.

    `database` is the tenant's; `head` the schema's newest version; `routed` the state that the
    directory was seen to hold in this attempt, None when it was not asked; `blocked` why no
    database can be made at present.
    """
    match tenant.status:
        case TenantStatus.PENDING:
            return _pending(tenant, routed, blocked, tried_claim=tried_claim)
        case TenantStatus.ACTIVATING:
            return _activating(tenant, database, head, routed)
        case TenantStatus.SUSPENDED:
            # Before the route is settled: from then on nobody looks at a suspended tenant.
            kept = _kept(database)
            if isinstance(kept, KeepDatabase):
                return kept
            return _route(tenant, routed) or Nothing()
        case TenantStatus.FAILED | TenantStatus.CLOSED:
            return _route(tenant, routed) or Nothing()
        case TenantStatus.CLOSING:
            return _route(tenant, routed) or Leave()
        case TenantStatus.ACTIVE:
            return Nothing() if tenant.settled else _route(tenant, routed) or Nothing()


def _pending(
    tenant: Tenant, routed: str | None, blocked: str | None, *, tried_claim: bool
) -> TenantAction:
    if tenant.restore_id is not None:
        return _route(tenant, routed) or AwaitRestore()
    if tenant.final_backup_id is not None:
        return BeginRestore(tenant.final_backup_id)
    if not tried_claim:
        return Claim()
    if blocked:
        return Fail(blocked)
    # So that the app hears "not ready yet" and not "never heard of it".
    return _route(tenant, routed) or AwaitDatabase()


def _activating(
    tenant: Tenant, database: Database | None, head: str, routed: str | None
) -> TenantAction:
    if kept := _kept(database):
        return kept
    if tenant.schema_version != head:
        return MigrateFirst()
    if routed != TenantStatus.ACTIVE:
        return PublishRoute(TenantStatus.ACTIVE)
    return ConfirmLive()


_LEAVING = frozenset({DatabaseStatus.EXPORTING, DatabaseStatus.UNBINDING})


def _kept(database: Database | None) -> KeepDatabase | AwaitRebinding | Fail | None:
    """Return the next step towards a database that is bound and its tenant's, if any is left."""
    if database is None or database.status is DatabaseStatus.CLAIMED:
        return None
    if database.status in _LEAVING or database.retry_as in _LEAVING:
        return KeepDatabase()
    if database.status is DatabaseStatus.REBINDING:
        return AwaitRebinding()
    if database.retry_as is DatabaseStatus.REBINDING:
        how = f"its data is whole; once that is mended, `d1fleet tenants retry {database.owner}`"
    else:
        how = "restore a backup, see `d1fleet backups`"
    why = f" ({database.reason})" if database.reason else ""
    return Fail(f"the database {database.name} is {database.status}{why}: {how}")


def _route(tenant: Tenant, routed: str | None) -> TenantAction | None:
    """Return the next step towards a directory that holds the tenant's status, if any is left."""
    if tenant.routed_status == tenant.status:
        return None
    return SettleRoute(tenant.status) if routed == tenant.status else PublishRoute(tenant.status)


@dataclass(frozen=True)
class CreateDatabase:
    """Make the D1 database; look its name up first when an earlier call may have made it."""

    look_first: bool


@dataclass(frozen=True)
class AwaitBinding:
    """Wake the shard's publisher; it will wake this database."""


@dataclass(frozen=True)
class Migrate:
    """Apply what the database's ledger lacks."""


@dataclass(frozen=True)
class FinishDatabase:
    """Give it to the oldest pending tenant, or to the pool."""


DatabaseAction: TypeAlias = Nothing | CreateDatabase | AwaitBinding | Migrate | FinishDatabase


def plan_database(database: Database, *, head: str, migrated: str | None) -> DatabaseAction:
    """Say what comes next for a database.

    `migrated` is the version that its ledger was seen to hold in this attempt, None when not asked.
    """
    match database.status:
        case DatabaseStatus.CREATING:
            return CreateDatabase(look_first=database.uncertain or database.attempts > 1)
        case DatabaseStatus.BINDING | DatabaseStatus.REBINDING:
            return AwaitBinding()
        case DatabaseStatus.MIGRATING:
            return Migrate() if migrated != head else FinishDatabase()
        case DatabaseStatus.READY:
            behind = database.schema_version != head
            return Migrate() if behind and migrated != head else Nothing()
        case _:
            return Nothing()


def plan_refill(*, target: int, pending: int, ready: int, making: int, batch: int) -> int:
    """Return how many databases to begin now: up to the target and to every tenant that waits."""
    return max(0, min(batch, target + pending - ready - making))
