"""What an operator's `retry` does to a tenant: a decision about what it is and what stopped it.

::

    failed ─┬─ its database stopped on its way ────▶ both go on from where that was
            ├─ its database was said to be gone ───▶ D1 is asked: if it is there, it is put back
            └─ anything else ──────────────────────▶ it tries again
    closing, its database stopped ─────────────────▶ its closing goes on from the step where it was
    any other ─────────────────────────────────────▶ stays as it is
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus

__all__ = [
    "GoOnLeaving",
    "PutBack",
    "RefuseRetry",
    "RetryAction",
    "StayAsItIs",
    "TryAgain",
    "plan_retry",
]


@dataclass(frozen=True)
class StayAsItIs:
    """Nothing stopped it for good: at most it is woken."""


@dataclass(frozen=True)
class TryAgain:
    """The tenant tries again, and so does what `stopped` on its way to it, as `retry_as` says."""

    stopped: Database | None = None


@dataclass(frozen=True)
class PutBack:
    """The tenant gets its database back, if D1 has it after all."""

    database: Database


@dataclass(frozen=True)
class GoOnLeaving:
    """The closing goes on, its database being this again."""

    database: Database
    to: DatabaseStatus


@dataclass(frozen=True)
class RefuseRetry:
    """Only a person can decide what becomes of it."""

    reason: str


RetryAction: TypeAlias = StayAsItIs | TryAgain | PutBack | GoOnLeaving | RefuseRetry

_ON_ITS_WAY: Final = frozenset(
    {DatabaseStatus.BINDING, DatabaseStatus.MIGRATING, DatabaseStatus.REBINDING}
)


def plan_retry(tenant: Tenant, database: Database | None, restored: Database | None) -> RetryAction:
    """Say what a retry does.

    `database` is the tenant's; `restored` the one that holds its backup, where it waits for that.
    """
    match tenant.status:
        case TenantStatus.FAILED:
            return _failed(database if tenant.database_ulid is not None else restored, tenant)
        case TenantStatus.CLOSING:
            return _closing(tenant, database)
        case _:
            return StayAsItIs()


def _failed(stopped: Database | None, tenant: Tenant) -> RetryAction:
    if stopped is None or stopped.status is not DatabaseStatus.QUARANTINED:
        return TryAgain()
    if stopped.retry_as in _ON_ITS_WAY:
        return TryAgain(stopped)
    # Nothing says as what it might go on: it was in use when it was set aside.
    in_use = stopped.retry_as is None and tenant.database_ulid == stopped.ulid
    return PutBack(stopped) if in_use else TryAgain()


def _closing(tenant: Tenant, database: Database | None) -> RetryAction:
    if database is None or database.status is not DatabaseStatus.QUARANTINED:
        return StayAsItIs()
    if database.retry_as is not None:
        return GoOnLeaving(database, database.retry_as)
    if tenant.without_backup:
        # It is gone on D1, or can't be read: the operator wants no backup of it.
        return GoOnLeaving(database, DatabaseStatus.UNBINDING)
    return RefuseRetry(f"the database {database.name} stopped for good: {database.reason}")
