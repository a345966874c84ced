"""List D1, read the records, and say what is on one side only: at 10,000 databases a call.

D1 is listed first. What the comparison says is a hint made of indexes that lag: each thing is
looked at once more, by its own record and, if it is said to be gone, by asking D1 and its binding.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.databases import (
    ON_D1,
    DatabaseMissing,
    DatabaseOrphan,
    Pointer,
    Recorded,
    compare_databases,
)
from shared.domain.drift.evidence import Counts, Listing, says_gone, weigh
from shared.domain.migrations import LEDGER
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import ControlPlaneError
from shared.usecases.looking import Looking

__all__ = ["DatabasesSeen", "gather_databases", "look_at_databases"]

MOST_LOOKS: Final = 25
"""So many that are gone are asked for one by one; of more than these the listing is believed."""

STILL_LISTED: Final = timedelta(minutes=10)
"""What was deleted longer ago than this should be in no list any more."""

_RECORDED: Final = tuple(
    status for status in DatabaseStatus if status is not DatabaseStatus.DELETED
)
_NAMING: Final = (
    TenantStatus.ACTIVATING,
    TenantStatus.ACTIVE,
    TenantStatus.SUSPENDED,
    TenantStatus.CLOSING,
    TenantStatus.FAILED,
)

_SERVED: Final = frozenset({TenantStatus.ACTIVATING, TenantStatus.ACTIVE, TenantStatus.SUSPENDED})

log = logging.getLogger("d1fleet")

DatabaseDrift = DatabaseMissing | DatabaseOrphan


@dataclass(frozen=True)
class DatabasesSeen:
    """Say what differs, how many were compared, and why the listing proves no absence, if so.

    `counts` is what the next listing is measured by.
    """

    drifts: list[DatabaseDrift]
    compared: int
    counts: Counts
    pages: int
    doubt: str | None


def gather_databases(looking: Looking, last: Counts | None, pages: int) -> DatabasesSeen:
    """Compare D1's whole list with the records. `pages` is how many the last run needed.

    Raises:
        NoPermit: the budget says wait; nothing was begun.
    """
    listing = Listing(looking.fleet)
    looking.list_d1(listing, pages)
    records = list(_recorded(looking))
    on_d1 = len({record.ulid for record in records if record.status in ON_D1})
    counts, why = weigh(listing, recorded=on_d1, last=last, now=looking.began)
    if why is not None:
        log.warning("the listing of D1 is no evidence of what it lacks: %s", why)
    found = compare_databases(
        looking.fleet, listing.ours, records, _pointers(looking), trusted=why is None
    )
    return DatabasesSeen(look_at_databases(looking, found), on_d1, counts, listing.pages, why)


def _recorded(looking: Looking) -> Iterator[Recorded]:
    for item in looking.databases(*_RECORDED):
        yield Recorded(
            str(item["ulid"]),
            DatabaseStatus(item["status"]),
            item.get("database_id"),
            item.get("owner"),
            int(item["version"]),
            looking.fresh(item),
        )


def _pointers(looking: Looking) -> Iterator[Pointer]:
    for item in looking.tenants(*_NAMING):
        ulid, uuid = item.get("database_ulid"), item.get("database_id")
        if ulid is not None and uuid is not None:
            yield Pointer(
                str(item["tenant_id"]),
                str(ulid),
                str(uuid),
                judged=not looking.fresh(item),
                served=item["status"] in _SERVED,
            )


def look_at_databases(looking: Looking, drifts: Iterable[DatabaseDrift]) -> list[DatabaseDrift]:
    """Look once more at what seems to be on one side only; return what really is, in full."""
    missing: list[DatabaseMissing] = []
    orphans: list[DatabaseOrphan] = []
    for drift in drifts:
        if isinstance(drift, DatabaseMissing):
            missing.append(drift)
        else:
            orphans.append(drift)
    still = [seen for drift in missing if (seen := _missing(looking, drift, len(missing)))]
    return [*still, *_orphans(looking, orphans)]


def _missing(looking: Looking, drift: DatabaseMissing, of: int) -> DatabaseMissing | None:
    state = looking.control.state
    record = state.database(drift.ulid)
    if record is not None and record.status is DatabaseStatus.DELETED:
        record = None  # what it says is true; it is the tenant's record that may not know it
    if record is not None and record.database_id == drift.database_id:
        if record.status not in ON_D1 and not _is_failed_for(looking, record):
            return None
        shard: str | None = record.shard
        drift = drift.model_copy(
            update={
                "status": record.status,
                "version": record.version,
                "tenant_id": record.owner,
            }
        )
    else:
        tenant = state.tenant(drift.tenant_id or "")
        if tenant is None or not _names(tenant, drift):
            return None
        shard = tenant.shard
        served = record is None and tenant.status in _SERVED
        drift = drift.model_copy(update={"served": served, "status": None, "version": 0})
    if of > MOST_LOOKS or drift.database_id is None:
        return drift
    if looking.name_on_d1(drift.database_id) is not None:
        return None
    return drift.model_copy(update={"certain": not may_answer(looking, shard, drift.ulid)})


def _is_failed_for(looking: Looking, record: Database) -> bool:
    """Say whether a tenant still has this quarantined database and no other."""
    if record.status is not DatabaseStatus.QUARANTINED or record.owner is None:
        return False
    tenant = looking.control.state.tenant(record.owner)
    return tenant is not None and tenant.database_ulid == record.ulid


def _names(tenant: Tenant | None, drift: DatabaseMissing | DatabaseOrphan) -> bool:
    """Say whether a tenant's record names just this database."""
    if tenant is None or tenant.status not in _NAMING:
        return False
    return (tenant.database_ulid, tenant.database_id) == (drift.ulid, drift.database_id)


def may_answer(looking: Looking, shard: str | None, ulid: str) -> bool:
    """Say whether a database answers through its binding, or might if it could be asked.

    A third witness beside D1's list and its API, which can both be wrong at once; what only says
    that it is busy, or can't be asked, is none.
    """
    slot = None if shard is None else looking.control.state.slot(shard, ulid)
    if shard is None or slot is None or not slot.live:
        return True
    try:
        rows = looking.outside.router().inspect(shard, [slot.binding], LEDGER)
    except ControlPlaneError:
        return True
    return any(row.error is None or not says_gone(row.error.message) for row in rows)


def _orphans(looking: Looking, orphans: Sequence[DatabaseOrphan]) -> list[DatabaseOrphan]:
    if not orphans:
        return []
    owners: dict[str, str] = {}
    try:
        uuids = [drift.database_id for drift in orphans if drift.database_id is not None]
        found = looking.outside.router().owners(uuids)
        owners = {owner.database_uuid: owner.tenant_id for owner in found}
    except ControlPlaneError as error:
        log.warning("whose the orphans are was not to be had: %s", error)
    still = []
    for drift in orphans:
        record = looking.control.state.database(drift.ulid)
        if record is not None and record.status is not DatabaseStatus.DELETED:
            continue
        deleted = record is not None
        if record is not None and looking.began - record.status_since < STILL_LISTED:
            continue  # it was deleted while it was listed
        witness = owners.get(drift.database_id or "", drift.named_by)
        named = witness == drift.named_by and _names(
            looking.control.state.tenant(drift.named_by or ""), drift
        )
        still.append(
            drift.model_copy(
                update={
                    "named_by": drift.named_by if named else None,
                    "tenant_id": drift.named_by if named else owners.get(drift.database_id or ""),
                    "deleted": deleted,
                }
            )
        )
    return still
