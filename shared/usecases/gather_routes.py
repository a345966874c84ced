"""Read the directory page by page, and say which rows are not what the tenants' records say.

All of it goes through the router: no call of the REST API.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from shared.domain.drift.routes import DirectoryStale, Home, Route, compare_routes
from shared.domain.names import ulid_of_binding
from shared.domain.tenant import Tenant, TenantStatus
from shared.router.models import DirectoryRow
from shared.usecases.looking import Looking

__all__ = ["gather_routes", "look_at_routes"]

_ROUTED: Final = frozenset(
    {TenantStatus.SUSPENDED, TenantStatus.CLOSING, TenantStatus.CLOSED, TenantStatus.FAILED}
)


def gather_routes(looking: Looking) -> tuple[list[DirectoryStale], int]:
    """Compare the whole directory with the tenants; return what differs, and how many there are.

    Raises:
        RouterUnavailable: the router does not answer.
    """
    homes = {
        str(item["tenant_id"]): Home(
            str(item["tenant_id"]),
            None if looking.fresh(item) else _settled_state(item),
            item.get("shard"),
            item.get("binding"),
            item.get("database_id"),
            int(item["version"]),
        )
        for item in looking.tenants(*TenantStatus)
    }
    count = len(homes)
    found = list(compare_routes(homes, _pages(looking)))
    return look_at_routes(looking, [drift.route for drift in found]), count


def look_at_routes(looking: Looking, tenant_ids: Iterable[str]) -> list[DirectoryStale]:
    """Compare some tenants' rows with their records, both read just now; say whose data they reach.

    Raises:
        RouterUnavailable: the router does not answer.
    """
    ids = list(tenant_ids)
    if not ids:
        return []
    tenants = (looking.control.state.tenant(each) for each in ids)
    homes = {tenant.tenant_id: _home(tenant) for tenant in tenants if tenant is not None}
    # The records were read first: what is changed from here on is ahead of its row, not behind.
    rows = looking.outside.router().get(ids)
    found = list(compare_routes(homes, [[_route(row) for row in rows]]))
    seen = (_in_full(looking, drift, rows) for drift in found if _stands(looking, drift))
    return [drift for drift in seen if drift.is_drift]


def _pages(looking: Looking) -> Iterator[list[Route]]:
    after: str | None = None
    while True:
        page = looking.outside.router().list(after)
        yield [_route(row) for row in page.rows]
        if page.next is None:
            return
        after = page.next


def _route(row: DirectoryRow) -> Route:
    return Route(row.tenant_id, row.state, row.shard, row.binding, row.database_uuid, row.version)


def _settled_state(item: Mapping[str, Any]) -> str | None:
    """Return the state that the directory should hold, None for who is on the way to another."""
    status = str(item["status"])
    if status == TenantStatus.ACTIVE:
        return status
    routed = status in _ROUTED and item.get("routed_status") == status
    return status if routed else None


def _home(tenant: Tenant) -> Home:
    return Home(
        tenant.tenant_id,
        _settled_state(dict(tenant)),
        tenant.shard,
        tenant.binding,
        tenant.database_id,
        tenant.version,
    )


def _stands(looking: Looking, drift: DirectoryStale) -> bool:
    """Say whether a tenant's record is still the one that was compared."""
    tenant = looking.control.state.tenant(drift.route)
    return (0 if tenant is None else tenant.version) == drift.version


def _in_full(
    looking: Looking, drift: DirectoryStale, rows: Iterable[DirectoryRow]
) -> DirectoryStale:
    """Say whose database a row leads to, if it is another tenant's."""
    row = next((row for row in rows if row.tenant_id == drift.route), None)
    if row is None:
        return drift
    uuids = [] if row.database_uuid is None else [row.database_uuid]
    whose = {owner.tenant_id for owner in looking.outside.router().owners(uuids)}
    bound = looking.control.state.database(ulid_of_binding(row.binding or "") or "")
    if bound is not None and bound.owner is not None:
        whose.add(bound.owner)
    others = sorted(whose - {drift.route})
    return drift.model_copy(update={"foreign": others[0]}) if others else drift
