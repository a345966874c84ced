"""What operators look at: all tenants, one tenant, the pools. Reads only; called by the CLI."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from shared.domain.database import MAKING, Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent
from shared.usecases.context import Control

__all__ = ["PoolRow", "TenantView", "history_of", "pool_rows", "show_tenant", "tenants"]

FORWARD: Final = (
    TenantStatus.FAILED,
    TenantStatus.PENDING,
    TenantStatus.ACTIVATING,
    TenantStatus.ACTIVE,
    TenantStatus.SUSPENDED,
    TenantStatus.CLOSING,
    TenantStatus.CLOSED,
)
"""The order in which tenants move, so that one that moves while it is listed is met again."""


def tenants(control: Control, *status: TenantStatus) -> list[Tenant]:
    """Return all tenants, or those of some statuses, oldest first.

    A tenant that moves while this reads is listed once, as it was seen last.
    """
    found: dict[str, Tenant] = {}
    for each in FORWARD:
        if status and each not in status:
            continue
        for tenant in control.state.tenants(each):
            other = found.get(tenant.tenant_id)
            if other is None or other.version < tenant.version:
                found[tenant.tenant_id] = tenant
    return sorted(found.values(), key=lambda tenant: (tenant.created_at, tenant.tenant_id))


@dataclass(frozen=True)
class TenantView:
    """Hold a tenant with its database, when it has one."""

    tenant: Tenant
    database: Database | None


def show_tenant(control: Control, tenant_id: str) -> TenantView:
    """Return a tenant and its database, read consistently.

    Raises:
        Permanent: there is no such tenant.
    """
    tenant = control.state.tenant(tenant_id)
    if tenant is None:
        raise Permanent(f"there is no tenant {tenant_id}: see `d1fleet tenants list`")
    ulid = tenant.database_ulid
    return TenantView(tenant, control.state.database(ulid) if ulid else None)


def history_of(control: Control, tenant_id: str) -> Iterator[dict[str, Any]]:
    """Yield what happened to a tenant, the newest first: at, who, what, why, call, trace.

    Raises:
        Permanent: there is no such tenant.
    """
    tenant = show_tenant(control, tenant_id).tenant
    for item in control.state.history(tenant):
        names = ("at", "who", "what", "why", "call", "trace")
        yield {name: str(item.get(name, "")) for name in names}


@dataclass(frozen=True)
class PoolRow:
    """Say how the pool of a class stands.

    `reason` says why it does not fill, if it does not; `waiting` counts tenants without a database.
    """

    class_: str
    target: int
    ready: int
    making: int
    claimed: int
    quarantined: int
    waiting: int
    reason: str | None
    blocked_since: datetime | None


def pool_rows(control: Control) -> list[PoolRow]:
    """Return how each class's pool stands. Counts come from an index that lags a little."""
    waiting = [tenant.class_ for tenant in control.state.tenants(TenantStatus.PENDING)]
    rows = []
    for class_ in control.settings.database_classes:
        blocked = control.pools.blocked(class_)
        rows.append(
            PoolRow(
                class_=class_,
                target=control.settings.pool_target,
                ready=control.state.count_databases(class_, DatabaseStatus.READY),
                making=sum(control.state.count_databases(class_, status) for status in MAKING),
                claimed=control.state.count_databases(class_, DatabaseStatus.CLAIMED),
                quarantined=control.state.count_databases(class_, DatabaseStatus.QUARANTINED),
                waiting=waiting.count(class_),
                reason=blocked.reason if blocked else None,
                blocked_since=blocked.since if blocked else None,
            )
        )
    return rows
