"""Records go into the table on their conditions, come back equal, and are found by its indexes."""

from datetime import timedelta
from typing import Any

import pytest

from shared.aws.items import Change, HistoryLine, key_of, slot_put
from shared.aws.state import State
from shared.aws.table import Check, Condition, Delete, Put, Table, Update
from shared.domain.database import UNSETTLED_DATABASE, DatabaseStatus
from shared.domain.lifecycle import Record, iso
from shared.domain.tenant import TenantStatus
from shared.domain.worker import Slot
from shared.errors import Conflict


def test_what_is_not_there_is_none(state: State) -> None:
    """A record that nobody wrote is None, a shard without slots is empty."""
    assert state.tenant("org_1") is None
    assert state.database("nobody") is None
    assert state.worker("f-pool") is None
    assert state.slots("f-pool-1") == []


def test_every_kind_of_record_comes_back_equal(state: State, world: Any) -> None:
    """Numbers, times, flags, names with reserved words and empty texts survive the table."""
    tenant = world.tenant(
        display_name="Größe & Söhne 🏠",
        reason="",
        known_at=world.later(-1.5),
        grace_ends_at=world.later(30),
        wake_at=world.later(0.000001),
        token="t",
    )
    database = world.database(uncertain=True, retry_as=DatabaseStatus.MIGRATING)
    worker = world.worker(generation=7, published_generation=6, settle_until=world.later(60))
    world.stored(tenant, database, worker)
    assert state.tenant("org_1") == tenant
    assert state.database(database.ulid) == database
    assert state.worker("f-pool-1") == worker


def test_a_record_that_the_table_does_not_know_is_refused(world: Any) -> None:
    """A kind of record without a place in the layout never gets as far as the table."""
    times = {"created_at": world.now, "updated_at": world.now, "status_since": world.now}
    with pytest.raises(TypeError, match="Record has no place in the table"):
        key_of(Record.model_validate(times))


def test_a_new_record_is_new_once(state: State, world: Any) -> None:
    """The second creation of the same record says which condition failed and changes nothing."""
    first = world.stored(world.tenant(display_name="first"))
    with pytest.raises(Conflict) as conflict:
        state.commit(Change(None, world.tenant(display_name="second")))
    assert conflict.value.condition == "tenant is new"
    assert state.tenant("org_1") == first


def test_a_change_stands_on_the_version_that_was_read(state: State, world: Any) -> None:
    """Of two changes made from the same reading the second is refused."""
    read = world.stored(world.tenant())
    step = read.moved(TenantStatus.CLOSING, world.later(1))
    state.commit(Change(read, step))
    with pytest.raises(Conflict) as conflict:
        state.commit(Change(read, read.moved(TenantStatus.FAILED, world.later(2))))
    assert conflict.value.condition == "tenant is as it was read"
    assert state.tenant("org_1") == step


def test_a_change_of_what_is_not_there_is_refused(state: State, world: Any) -> None:
    """A record that vanished is not born again by a change."""
    database = world.database()
    with pytest.raises(Conflict) as conflict:
        state.commit(Change(database, database.moved(DatabaseStatus.QUARANTINED, world.now)))
    assert conflict.value.condition == "database is as it was read"
    assert world.items() == []


def test_a_transaction_that_loses_leaves_nothing(state: State, world: Any) -> None:
    """Whichever of its writes fails, none of the others is seen, history and slots included."""
    tenant = world.stored(world.tenant("org_1"))
    before = world.items()
    line = HistoryLine(world.now, "test", "lost")
    also = [
        slot_put("f-pool-1", Slot(ulid="U", binding="DB_U")),
        Put({"pk": "INBOX#x", "sk": "META"}),
        Check({"pk": "FLEET", "sk": "META"}, Condition("fleet is there", "attribute_exists(pk)")),
    ]
    with pytest.raises(Conflict) as conflict:
        state.commit(
            Change(tenant, tenant.moved(TenantStatus.FAILED, world.now), line),
            Change(None, world.database(), line),
            also=also,
        )
    assert conflict.value.condition == "fleet is there"
    assert world.items() == before


def test_the_first_failed_condition_gives_its_name(state: State, world: Any) -> None:
    """When several conditions fail the first in the order of the writes is named."""
    world.stored(world.tenant(), world.database())
    with pytest.raises(Conflict) as conflict:
        state.commit(Change(None, world.tenant()), Change(None, world.database()))
    assert conflict.value.condition == "tenant is new"
    with pytest.raises(Conflict) as conflict:
        state.commit(Change(None, world.database()), Change(None, world.tenant()))
    assert conflict.value.condition == "database is new"


def test_a_transaction_takes_a_hundred_writes(state: State, world: Any) -> None:
    """As many writes as DynamoDB takes are one transaction."""
    slots = [Slot(ulid=f"{n:026}", binding=f"DB_{n}") for n in range(100)]
    state.commit(also=[slot_put("f-pool-1", slot) for slot in slots])
    assert state.slots("f-pool-1") == slots


def test_each_kind_of_write_goes_alone_and_together(table: Table, world: Any) -> None:
    """Put, update and delete do the same alone as in a transaction, on names and values."""
    key = {"pk": "X", "sk": "META"}
    there = Condition("it is there", "attribute_exists(#pk)", {"#pk": "pk"})
    count = Update(key, "ADD #n :one", {"#n": "count"}, {":one": 1}, there)
    table.write(Put({**key, "count": 1}))
    item = table.write(count)
    assert item is not None
    assert (item["count"], item["pk"]) == (2, "X")
    table.transact([count])
    assert (table.get("X") or {})["count"] == 3
    table.write(Delete(key, there))
    assert table.get("X") is None
    for gone in (count, Delete(key, there), Put({**key}, there)):
        with pytest.raises(Conflict, match="it is there"):
            table.write(gone)
        with pytest.raises(Conflict, match="it is there"):
            table.transact([gone])
    table.transact([Put({**key, "count": 1})])
    table.transact([Delete(key)])
    assert world.items() == []


def test_history_is_read_newest_first_and_kept_a_year(state: State, world: Any) -> None:
    """Each change adds its line; empty parts are left out; it expires after more than 90 days."""
    record = world.tenant()
    state.commit(Change(None, record, HistoryLine(world.now, "on_signup", "signed up", why="x")))
    for number in range(1, 4):
        after = record.changed(world.later(number))
        line = HistoryLine(world.later(number), "provision", f"step {number}", call="GET /")
        state.commit(Change(record, after, line))
        record = after
    lines = list(state.history(record))
    assert [line["what"] for line in lines] == ["step 3", "step 2", "step 1", "signed up"]
    assert [line["at"] for line in lines] == [iso(world.later(n)) for n in (3, 2, 1, 0)]
    assert lines[0]["call"] == "GET /"
    assert "why" not in lines[0]
    assert lines[3]["expires_at"] > (world.now + timedelta(days=90)).timestamp()
    assert [line["what"] for line in state.history(record, limit=2)] == ["step 3", "step 2"]


def test_tenants_of_a_status_come_longest_waiting_first(state: State, world: Any) -> None:
    """The index gives one status, in the order of when each next wants attention."""
    world.stored(
        world.tenant("late", wake_at=world.later(50)),
        world.tenant("early", wake_at=world.later(10)),
        world.tenant("middle", updated_at=world.later(30)),
        world.tenant("other", status=TenantStatus.ACTIVE),
    )
    found = state.tenants(TenantStatus.PENDING)
    assert [tenant.tenant_id for tenant in found] == ["early", "middle", "late"]
    due = state.tenants(TenantStatus.PENDING, due_before=world.later(30))
    assert [tenant.tenant_id for tenant in due] == ["early"]
    two = state.tenants(TenantStatus.PENDING, limit=2)
    assert [tenant.tenant_id for tenant in two] == ["early", "middle"]


def test_a_settled_record_is_listed_since_when_it_is_settled(state: State, world: Any) -> None:
    """A later change of a settled record does not move it in the index."""
    first = world.stored(world.tenant("a", status=TenantStatus.ACTIVE))
    world.stored(world.tenant("b", status=TenantStatus.ACTIVE, status_since=world.later(5)))
    state.commit(Change(first, first.changed(world.later(90), display_name="renamed")))
    found = [tenant.tenant_id for tenant in state.tenants(TenantStatus.ACTIVE)]
    assert found == ["a", "b"]


@pytest.mark.parametrize("status", DatabaseStatus)
def test_only_ready_databases_are_ready(state: State, world: Any, status: DatabaseStatus) -> None:
    """The sparse index holds the ready databases of the class and no others."""
    database = world.stored(world.database(status=status))
    expected = [database] if status is DatabaseStatus.READY else []
    assert state.ready("weur", 5) == expected
    assert state.ready("eu", 5) == []
    assert [found.ulid for found in state.databases("weur", status)] == [database.ulid]
    item = state.table.get(f"DB#{database.ulid}") or {}
    assert ("unsettled" in item) == (status in UNSETTLED_DATABASE)


def test_a_claimed_database_leaves_the_ready_ones(state: State, world: Any) -> None:
    """A step out of `ready` takes the record out of the sparse index."""
    database = world.stored(world.database())
    state.commit(Change(database, database.moved(DatabaseStatus.CLAIMED, world.now, owner="org_1")))
    assert state.ready("weur", 5) == []
    assert state.count_databases("weur", DatabaseStatus.READY) == 0
    assert state.count_databases("weur", DatabaseStatus.CLAIMED) == 1


def test_ready_databases_start_at_a_random_place(state: State, world: Any) -> None:
    """Each of a few ready databases comes first now and then, none comes twice in one answer."""
    ulids = {database.ulid for database in world.stored(*map(world.database, range(1, 5)))}
    answers = [[db.ulid for db in state.ready("weur", 3)] for _ in range(200)]
    assert {answer[0] for answer in answers} == ulids
    assert all(len(set(answer)) == 3 for answer in answers)
    assert {db.ulid for db in state.ready("weur", 50)} == ulids


def test_databases_are_counted_up_to_a_limit(state: State, world: Any) -> None:
    """Counting reads the index, not the records, and stops at its limit."""
    world.stored(*map(world.database, range(1, 6)))
    assert state.count_databases("weur", DatabaseStatus.READY) == 5
    assert state.count_databases("weur", DatabaseStatus.READY, limit=3) == 3
    for since, count in ((world.now, 5), (world.later(1), 0)):
        assert state.count_databases("weur", DatabaseStatus.READY, since=since) == count


def test_slots_of_a_shard_are_its_own(state: State, world: Any) -> None:
    """A shard's slots are read without its record and without another shard's."""
    world.stored(world.worker())
    mine = Slot(ulid="A", binding="DB_A", database_id="d", made_at=world.now, generation=2)
    state.commit(
        also=[
            slot_put("f-pool-1", mine),
            slot_put("f-pool-10", Slot(ulid="B", binding="DB_B")),
        ]
    )
    assert state.slots("f-pool-1") == [mine]


def test_long_partitions_and_indexes_are_read_page_by_page(state: State, world: Any) -> None:
    """What takes more than one page of 1 MB is complete, and a limit ends it early."""
    text = "x" * 60_000
    for number in range(1, 41):
        world.stored(world.database(number, reason=text))
        state.table.write(Put({"pk": "WORKER#s", "sk": f"DB#{number:02}", "text": text}))
    assert len(list(state.table.query("WORKER#s", prefix="DB#"))) == 40
    assert len(list(state.table.query("WORKER#s", limit=30))) == 30
    assert len(list(state.databases("weur", DatabaseStatus.READY))) == 40
    assert state.count_databases("weur", DatabaseStatus.READY) == 40
    assert len({database.ulid for database in state.ready("weur", 40)}) == 40
