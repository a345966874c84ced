"""Whatever table and account look like: the plan comes to rest, deletes nothing, mixes nothing."""

import copy
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.database import DatabaseStatus
from shared.domain.names import binding_name, database_name
from shared.domain.worker import Slot
from tests.domain.drift.fleet_model import (
    FLEET,
    SHARDS,
    Fleet,
    look,
    make,
    one_pass,
    ulid,
    uuid,
)

TENANTS, POOLED, OTHERS = 4, 2, 2
ALL = TENANTS + POOLED
MOST_PASSES = 8

Vandalism = Callable[[Fleet, int, int], None]


def delete_database(fleet: Fleet, one: int, _: int) -> None:
    fleet.d1.pop(uuid(one), None)


def make_orphan(fleet: Fleet, one: int, _: int) -> None:
    fleet.d1.setdefault(uuid(ALL + one % OTHERS), database_name(FLEET, ulid(ALL + one % OTHERS)))


def same_name_anew(fleet: Fleet, one: int, _: int) -> None:
    if fleet.d1.pop(uuid(one), None):
        fleet.d1[f"other-{one}"] = database_name(FLEET, ulid(one))


def lose_record(fleet: Fleet, one: int, _: int) -> None:
    fleet.databases.pop(ulid(one), None)


def lose_slot(fleet: Fleet, one: int, other: int) -> None:
    fleet.slots[SHARDS[other % 2]].pop(ulid(one), None)


def unbind(fleet: Fleet, one: int, other: int) -> None:
    fleet.bound[SHARDS[other % 2]].pop(binding_name(ulid(one)), None)


def bind_wrongly(fleet: Fleet, one: int, other: int) -> None:
    fleet.bound[SHARDS[one % 2]][binding_name(ulid(one))] = uuid(other)


def bind_more(fleet: Fleet, one: int, other: int) -> None:
    fleet.bound[SHARDS[other % 2]][binding_name(ulid(ALL + one))] = uuid(other)


def mark_leaving(fleet: Fleet, one: int, _: int) -> None:
    shard = SHARDS[one % 2]
    slot = fleet.slots[shard].get(ulid(one))
    if slot is not None and ulid(one) not in {each.ulid for each in fleet.tenants.values()}:
        changes = {"leaving": True, "left_generation": 1}
        fleet.slots[shard][slot.ulid] = Slot.model_validate(dict(slot) | changes)


def falsify_state(fleet: Fleet, one: int, other: int) -> None:
    _falsify(fleet, one, state=("active", "suspended", "closed")[other % 3])


def falsify_place(fleet: Fleet, one: int, other: int) -> None:
    _falsify(fleet, one, database_id=uuid(other), binding=binding_name(ulid(other)))


def falsify_version(fleet: Fleet, one: int, other: int) -> None:
    _falsify(fleet, one, version=2**53 + 1 if other % 2 else 1_000_000 + other)


def lose_row(fleet: Fleet, one: int, _: int) -> None:
    fleet.directory.pop(f"org_{one % TENANTS}", None)


def add_row(fleet: Fleet, one: int, other: int) -> None:
    known = fleet.directory.get(f"org_{other % TENANTS}")
    if known is not None:
        stranger = f"stranger_{one % 2}"
        fleet.directory[stranger] = known._replace(tenant_id=stranger)


def lose_tenant(fleet: Fleet, one: int, _: int) -> None:
    fleet.tenants.pop(f"org_{one % TENANTS}", None)


def _falsify(fleet: Fleet, one: int, **fields: object) -> None:
    key = f"org_{one % TENANTS}"
    if key in fleet.directory:
        fleet.directory[key] = fleet.directory[key]._replace(**fields)  # type: ignore[arg-type] # any field


VANDALS: tuple[Vandalism, ...] = (
    *(delete_database, make_orphan, same_name_anew, lose_record, lose_slot, unbind),
    *(bind_wrongly, bind_more, mark_leaving, falsify_state, falsify_place, falsify_version),
    *(lose_row, add_row, lose_tenant),
)
numbers = st.integers(0, ALL - 1)
vandalisms = st.lists(st.tuples(st.sampled_from(VANDALS), numbers, numbers), max_size=8)


def vandalised(acts: list[tuple[Vandalism, int, int]]) -> Fleet:
    fleet = make(TENANTS, POOLED)
    for act, one, other in acts:
        act(fleet, one, other)
    return fleet


def test_a_whole_fleet_has_no_drift() -> None:
    """Where nobody did anything, nothing is seen."""
    assert look(make(TENANTS, POOLED)) == []


@given(vandalisms)
@settings(max_examples=3000, deadline=None)
def test_it_comes_to_rest(acts: list[tuple[Vandalism, int, int]]) -> None:
    """Applied again and again, the plan has nothing left to do, and what it says stays the same."""
    fleet = vandalised(acts)
    for _ in range(MOST_PASSES):
        one_pass(fleet)
    said, done = one_pass(fleet)
    assert not done
    again, _none = one_pass(fleet)
    assert again == said


@given(vandalisms)
@settings(max_examples=3000, deadline=None)
def test_nothing_is_deleted_and_nothing_mixed(acts: list[tuple[Vandalism, int, int]]) -> None:
    """No pass takes a database away, changes an owner, or leads one tenant to another's data."""
    fleet = vandalised(acts)
    for _ in range(4):
        before = copy.deepcopy(fleet)
        one_pass(fleet)
        assert fleet.d1 == before.d1
        for key, database in before.databases.items():
            assert fleet.databases[key].database_id == database.database_id
            assert database.owner in {None, fleet.databases[key].owner}
        for shard in SHARDS:
            for name, bound_to in fleet.bound[shard].items():
                if before.bound[shard].get(name) != bound_to:
                    assert bound_to == uuid(int(name.removeprefix("DB_")))
        for tenant_id, row in fleet.directory.items():
            if before.directory.get(tenant_id) != row and row.database_id is not None:
                assert fleet.owners[row.database_id] == tenant_id


@given(vandalisms)
@settings(max_examples=300, deadline=None)
def test_who_still_has_a_database_is_served_in_the_end(
    acts: list[tuple[Vandalism, int, int]],
) -> None:
    """A tenant whose record and database are there ends bound and routed to just that."""
    fleet = vandalised(acts)
    for _ in range(MOST_PASSES):
        one_pass(fleet)
    for tenant_id, tenant in fleet.tenants.items():
        number = int(tenant.ulid)
        slot = fleet.slots[tenant.shard].get(tenant.ulid)
        there = fleet.d1.get(uuid(number)) is not None and tenant.ulid in fleet.databases
        if there:
            assert slot is not None
            assert not slot.leaving
            assert tenant.state == "active"
            assert fleet.bound[tenant.shard][slot.binding] == uuid(number)
            row = fleet.directory[tenant_id]
            assert (row.state, row.database_id, row.binding) == (
                "active",
                uuid(number),
                slot.binding,
            )


def test_a_missing_tenant_database_is_never_replaced() -> None:
    """Its tenant fails, its record stays its own, and no empty database takes its place."""
    fleet = make(TENANTS, POOLED)
    fleet.d1.pop(uuid(0))
    for _ in range(4):
        one_pass(fleet)
    assert fleet.tenants["org_0"].state == "failed"
    assert fleet.databases[ulid(0)].status is DatabaseStatus.QUARANTINED
    assert fleet.databases[ulid(0)].owner == "org_0"
    assert len(fleet.databases) == ALL
