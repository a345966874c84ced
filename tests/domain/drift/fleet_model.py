"""A fleet on paper: a table, an account and a directory, what vandals do, what repairs do.

The repairs here do what the workers do with the real things, so that a plan can be applied again
and again without any of them.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import assert_never

from shared.domain.database import Database as Record
from shared.domain.database import DatabaseStatus
from shared.domain.drift.bindings import (
    Belonging,
    BindingDrift,
    BindingUnexpected,
    BindingWrong,
    ShardSeen,
    compare_bindings,
    compare_places,
    known_by_name,
    known_by_record,
)
from shared.domain.drift.databases import (
    DatabaseMissing,
    DatabaseOrphan,
    Pointer,
    Recorded,
    compare_databases,
)
from shared.domain.drift.decide import Now, Seen, in_order, judge
from shared.domain.drift.every import AnyDrift
from shared.domain.drift.policy import DEFAULT_POLICY, Policy
from shared.domain.drift.repairs import (
    DropBinding,
    FailTenant,
    GiveSlot,
    HandBack,
    MigratePooled,
    Readopt,
    RefillPool,
    Repair,
    RepublishRoute,
    RepublishShard,
    SetAside,
    ShutRoute,
    WakeDatabase,
    WakeTenant,
)
from shared.domain.drift.routes import Home, Route, compare_routes, giving_way
from shared.domain.names import binding_name, database_name
from shared.domain.worker import Slot

FLEET = "acme"
SHARDS = ("acme-pool-1", "acme-pool-2")
S = DatabaseStatus


def ulid(number: int) -> str:
    return f"{number:026d}"


def uuid(number: int) -> str:
    return f"uuid-{number}"


@dataclass
class Tenant:
    state: str
    ulid: str
    shard: str
    version: int = 1


@dataclass
class Database:
    status: DatabaseStatus
    database_id: str
    owner: str | None
    shard: str
    version: int = 1


@dataclass
class Fleet:
    tenants: dict[str, Tenant] = field(default_factory=dict)
    databases: dict[str, Database] = field(default_factory=dict)
    slots: dict[str, dict[str, Slot]] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)
    d1: dict[str, str] = field(default_factory=dict)
    """What is on D1: names by uuid."""
    bound: dict[str, dict[str, str]] = field(default_factory=dict)
    directory: dict[str, Route] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)


def make(tenants: int, pooled: int) -> Fleet:
    """Return a fleet without drift."""
    fleet = Fleet(
        slots={shard: {} for shard in SHARDS},
        published=dict.fromkeys(SHARDS, 1),
        bound={shard: {} for shard in SHARDS},
    )
    for number in range(tenants + pooled):
        shard, own = SHARDS[number % 2], number < tenants
        owner = f"org_{number}" if own else None
        fleet.d1[uuid(number)] = database_name(FLEET, ulid(number))
        status = S.CLAIMED if own else S.READY
        fleet.databases[ulid(number)] = Database(status, uuid(number), owner, shard)
        slot = Slot(
            ulid=ulid(number),
            binding=binding_name(ulid(number)),
            database_id=uuid(number),
            generation=1,
            live=True,
        )
        fleet.slots[shard][slot.ulid] = slot
        fleet.bound[shard][slot.binding] = uuid(number)
        if owner is not None:
            fleet.tenants[owner] = Tenant("active", ulid(number), shard)
            fleet.directory[owner] = _route(fleet, owner)
            fleet.owners[uuid(number)] = owner
    return fleet


def _route(fleet: Fleet, tenant_id: str) -> Route:
    return Route(*_home(fleet, tenant_id))


def _home(fleet: Fleet, tenant_id: str) -> Home:
    tenant = fleet.tenants[tenant_id]
    number = int(tenant.ulid)
    return Home(
        tenant_id,
        tenant.state,
        tenant.shard,
        binding_name(tenant.ulid),
        uuid(number),
        tenant.version,
    )


def look(fleet: Fleet) -> list[AnyDrift]:
    """Return all that differs, as the gatherers hand it to the decision."""
    listed = {name.split("-")[1].upper(): each for each, name in fleet.d1.items()}
    recorded = [
        Recorded(key, each.status, each.database_id, each.owner, each.version)
        for key, each in fleet.databases.items()
    ]
    pointers = [
        Pointer(key, each.ulid, uuid(int(each.ulid)), served=each.state == "active")
        for key, each in fleet.tenants.items()
    ]
    found: list[AnyDrift] = []
    for each in compare_databases(FLEET, listed, recorded, pointers, trusted=True):
        if isinstance(each, DatabaseMissing):
            found.append(each.model_copy(update={"certain": each.database_id not in fleet.d1}))
        elif isinstance(each, DatabaseOrphan):
            owner = each.named_by or fleet.owners.get(each.database_id or "")
            found.append(each.model_copy(update={"tenant_id": owner}))
    for shard in SHARDS:
        slots = list(fleet.slots[shard].values())
        seen = ShardSeen(shard, 1, fleet.published[shard], slots, fleet.bound[shard])
        found += [_known_better(fleet, each) for each in compare_bindings(FLEET, seen)]
        found += compare_places(FLEET, seen, _belonging(fleet, shard))
    homes = {key: _home(fleet, key) for key in fleet.tenants}
    for stale in compare_routes(homes, [sorted(fleet.directory.values())]):
        owner = fleet.owners.get(stale.leads_to or "")
        foreign = owner if owner != stale.route else None
        found.append(stale.model_copy(update={"foreign": foreign}))
    return found


def _belonging(fleet: Fleet, shard: str) -> list[Belonging]:
    return [
        Belonging(key, each.database_id, each.owner)
        for key, each in fleet.databases.items()
        if each.shard == shard and each.status in {S.READY, S.CLAIMED}
    ]


def _known_better(fleet: Fleet, binding: BindingDrift) -> AnyDrift:
    """Say what only the records and D1 can tell of a binding that no slot accounts for."""
    if not isinstance(binding, BindingUnexpected):
        return binding
    known = fleet.databases.get(binding.ulid)
    record = known and Record.model_validate(
        {
            "ulid": binding.ulid,
            "name": binding.database_name,
            "class": "weur",
            "status": known.status,
            "shard": known.shard,
            "database_id": known.database_id,
            **dict.fromkeys(("created_at", "updated_at", "status_since"), fleet.now),
        }
    )
    found = known_by_record(binding, record)
    found = found or known_by_name(binding, record, fleet.d1.get(binding.bound_to or ""))
    assert isinstance(found, BindingUnexpected | BindingWrong)
    return found


def one_pass(fleet: Fleet, policy: Policy = DEFAULT_POLICY) -> tuple[list[AnyDrift], list[Repair]]:
    """Look, decide, and do what is due; return what was seen and what was done."""
    drifts = in_order(look(fleet), policy)
    done: list[Repair] = []
    seen: dict[tuple[str, str], Seen] = {}
    for drift in drifts:
        key = (drift.kind, drift.subject)
        before = fleet.seen.get(key)
        verdict = judge(drift, policy=policy, before=before, now=fleet.now)
        first, passes = (before.first, before.passes) if before else (fleet.now, 0)
        seen[key] = Seen(first, passes + 1)
        if isinstance(verdict, Now):
            done.append(verdict.repair)
    fleet.seen = seen
    for repair in done:
        apply(fleet, repair)
    fleet.now += timedelta(hours=25)
    return drifts, done


def apply(fleet: Fleet, repair: Repair) -> None:
    """Do what the workers do about a repair."""
    match repair:
        case RepublishShard(script=script):
            _publish(fleet, script)
        case DropBinding(script=script, ulid=key):
            slot = Slot(ulid=key, binding=binding_name(key), generation=1, leaving=True)
            fleet.slots[script].setdefault(key, slot)
            _publish(fleet, script)
        case GiveSlot(script=script, ulid=key):
            _give_slot(fleet, script, key)
        case RepublishRoute(tenant_id=tenant_id, above=above):
            tenant = fleet.tenants[tenant_id]
            tenant.version = giving_way(tenant.version + 1, above)
            _upsert(fleet, tenant_id)
        case ShutRoute(tenant_id=tenant_id, above=above):
            version = giving_way(1, above)
            fleet.directory[tenant_id] = Route(tenant_id, "closed", None, None, None, version)
        case Readopt(ulid=key, database_id=database_id, owner=owner):
            fleet.databases[key] = Database(S.QUARANTINED, database_id, owner, SHARDS[0])
        case HandBack(ulid=key, database_id=database_id, tenant_id=tenant_id):
            shard = fleet.tenants[tenant_id].shard
            fleet.databases[key] = Database(S.CLAIMED, database_id, tenant_id, shard)
            _give_slot(fleet, shard, key)
        case SetAside(ulid=key):
            _set_aside(fleet, key)
        case FailTenant(tenant_id=tenant_id, ulid=key):
            _fail(fleet, tenant_id)
            if key in fleet.databases:
                _set_aside(fleet, key)
        case WakeTenant() | WakeDatabase() | RefillPool() | MigratePooled():
            raise AssertionError("nothing of this is in the model")
        case _:
            assert_never(repair)


def _upsert(fleet: Fleet, tenant_id: str) -> None:
    """Write a row as the router does: forward only, unless what stands was falsified."""
    row, standing = _route(fleet, tenant_id), fleet.directory.get(tenant_id)
    if standing is None or not row.version <= standing.version <= row.version + 2**32:
        fleet.directory[tenant_id] = row


def _give_slot(fleet: Fleet, shard: str, key: str) -> None:
    database_id = fleet.databases[key].database_id
    slot = Slot(ulid=key, binding=binding_name(key), database_id=database_id)
    fleet.slots[shard].setdefault(key, slot)
    _publish(fleet, shard)


def _fail(fleet: Fleet, tenant_id: str) -> None:
    tenant = fleet.tenants.get(tenant_id)
    if tenant is not None:
        tenant.state, tenant.version = "failed", tenant.version + 1
        _upsert(fleet, tenant_id)


def _set_aside(fleet: Fleet, key: str) -> None:
    database = fleet.databases[key]
    database.status = S.QUARANTINED
    slot = fleet.slots[database.shard].get(key)
    if slot is not None:
        fleet.slots[database.shard][key] = slot.model_copy(update={"leaving": True})
        _publish(fleet, database.shard)


def _publish(fleet: Fleet, script: str) -> None:
    fleet.published[script] += 1
    generation = fleet.published[script]
    for key, slot in fleet.slots[script].items():
        if not slot.leaving and slot.database_id in fleet.d1:
            fleet.bound[script][slot.binding] = slot.database_id or ""
            since = {"generation": slot.generation or generation}
            fleet.slots[script][key] = slot.model_copy(update=since)
            continue
        # What is not on D1 is left out from then on: Cloudflare would refuse the whole publish.
        fleet.bound[script].pop(slot.binding, None)
        gone = {"leaving": True, "left_generation": slot.left_generation or generation}
        fleet.slots[script][key] = slot.model_copy(update=gone)
