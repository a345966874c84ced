"""Read the directory page by page, and say which rows are not what the tenants' records say.

All of it goes through the router: no call of the REST API.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shared.domain.drift.routes import DirectoryStale, Home, Route, compare_routes
from shared.domain.names import ulid_of_binding
from shared.domain.tenant import Tenant, TenantStatus
from shared.router.models import DirectoryRow
from shared.usecases.looking import Looking

__all__ = ["look_at_routes", "suspect_routes"]

_ROUTED: Final = frozenset(
    {TenantStatus.SUSPENDED, TenantStatus.CLOSING, TenantStatus.CLOSED, TenantStatus.FAILED}
)


def suspect_routes(looking: Looking) -> tuple[list[str], int]:
    """Compare the whole directory with the tenants; return whose row differs, and how many all are.

    It is a hint: the tenants are read from an index that lags.

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
    return [drift.route for drift in compare_routes(homes, _pages(looking))], count


def look_at_routes(looking: Looking, tenant_ids: Iterable[str]) -> list[DirectoryStale]:
    """Compare some tenants' rows with their records, both read just now; say whose data they reach.

    Costs two calls of the router, and up to three reads of the table for each.

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
    still = [drift for drift in found if _stands(looking, drift)]
    seen = _in_full(looking, still, {row.tenant_id: row for row in rows})
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
    looking: Looking, drifts: Sequence[DirectoryStale], rows: Mapping[str, DirectoryRow]
) -> list[DirectoryStale]:
    """Say whose databases rows lead to, if other tenants'; all are asked for in one call."""
    leading = (rows.get(drift.route) for drift in drifts)
    uuids = {row.database_uuid for row in leading if row is not None and row.database_uuid}
    owners: dict[str, set[str]] = {}
    for owner in looking.outside.router().owners(sorted(uuids)):
        owners.setdefault(owner.database_uuid, set()).add(owner.tenant_id)
    return [_led(looking, drift, rows.get(drift.route), owners) for drift in drifts]


def _led(
    looking: Looking,
    drift: DirectoryStale,
    row: DirectoryRow | None,
    owners: Mapping[str, set[str]],
) -> DirectoryStale:
    if row is None:
        return drift
    whose = set(owners.get(row.database_uuid or "", ()))
    bound = looking.control.state.database(ulid_of_binding(row.binding or "") or "")
    if bound is not None and bound.owner is not None:
        whose.add(bound.owner)
    others = sorted(whose - {drift.route})
    return drift.model_copy(update={"foreign": others[0]}) if others else drift
