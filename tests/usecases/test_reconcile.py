"""Each kind of drift, made by the official SDK or SQL, is found, told of once, and repaired."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.aws.table import Update
from shared.domain.database import DatabaseStatus
from shared.domain.names import binding_name, database_name
from shared.domain.tenant import TenantStatus
from shared.settings import Settings
from shared.usecases.gather_work import look_at_pools
from shared.usecases.looking import Looking
from shared.usecases.operate_restore import OperateRestore
from shared.usecases.sweep import Sweep
from shared.usecases.turn_out import turn_out
from tests.usecases.drifting import TENANTS, Drifting, a_fleet
from tests.usecases.long_work import add_long_work, backed_up
from tests.usecases.test_signup_path import ready
from tests.usecases.vandals import HELLO
from tests.usecases.world import World

pytestmark = pytest.mark.workerd

STRANGER = "01J0000000000000000000000A"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Shards that are soon full, so that there are two."""
    return settings.model_copy(update={"shard_capacity": 4, "database_limit_mb": 1})


@pytest.fixture
def drifting(world: World, emulator: Emulator, tmp_path: Path) -> Iterator[Drifting]:
    with a_fleet(world, emulator, tmp_path) as drifting:
        yield drifting


def test_what_harms_nobody_is_repaired_at_first_sight(drifting: Drifting) -> None:
    """Bindings and routes that somebody changed are whole again, and a lost message is sent."""
    account, one, two = drifting.account, drifting.of("one"), drifting.of("two")
    account.edit(one.shard, without=one.binding)
    account.edit(two.shard, {"type": "d1", "name": two.binding, "id": one.database_id})
    drifting.directory("UPDATE tenant SET state = 'suspended' WHERE tenant_id = 'three'")
    assert drifting.one_pass() == {
        ("binding_missing", "one"),
        ("binding_wrong", "two"),
        ("directory_stale", "three"),
    }
    assert drifting.settled() == {"run": drifting.report["run"], "waiting": 0, "left": 0}
    drifting.serves(*TENANTS)
    assert drifting.one_pass() == set()
    assert list(drifting.findings.standing()) == []
    kinds = ("binding_missing", "binding_wrong", "directory_stale")
    told = [f"{state} {kind}" for state in ("firing", "resolved") for kind in kinds]
    assert drifting.told() == told


def test_a_database_that_lost_slot_and_binding_is_bound_again(drifting: Drifting) -> None:
    """Its record says where it belongs: one of a tenant and one of the pool come back at once."""
    one, pooled = drifting.of("one"), drifting.pooled()
    for script, ulid in ((one.shard, one.database_ulid), (pooled.shard, pooled.ulid)):
        drifting.lose(f"WORKER#{script}", f"DB#{ulid}")
        drifting.account.edit(script, without=binding_name(ulid))
    assert drifting.one_pass() == {("binding_missing", "one"), ("binding_missing", pooled.name)}
    assert drifting.settled()["left"] == 0
    drifting.serves(*TENANTS)
    assert pooled.binding in drifting.account.databases(pooled.shard)
    drifting.world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()


def test_what_one_publish_mends_is_told_to_each(drifting: Drifting) -> None:
    """All on a shard count as repaired, and each of its tenants has one line of it."""
    shard = drifting.of("one").shard
    tenants = [each for each in TENANTS if drifting.of(each).shard == shard]
    assert len(tenants) > 2, "two that only lost a binding, and one that lost its slot too"
    for tenant in tenants:
        drifting.account.edit(shard, without=drifting.of(tenant).binding)
    drifting.lose(f"WORKER#{shard}", f"DB#{drifting.of('one').database_ulid}")
    answer = drifting.reconcile(trace="t", time_left=lambda: 10_000.0)
    assert drifting.read(answer) == {("binding_missing", tenant) for tenant in tenants}
    assert (answer.left, drifting.report["left"]) == (len(tenants), len(tenants)), "not seen yet"
    assert [each["repaired"] for each in drifting.report["findings"]] == [True] * len(tenants)
    state = drifting.world.control.state
    for tenant in tenants:
        lines = [line["what"] for line in state.history(drifting.of(tenant))]
        assert lines.count("repairing") == 1
    assert drifting.settled()["left"] == 0
    drifting.serves(*TENANTS)


def test_lost_work_is_woken(drifting: Drifting) -> None:
    """A tenant whose message was lost, a pool that nobody fills and dead letters are told of."""
    world = drifting.world
    drifting.sign_up("late")
    world.queues.heap.clear()
    assert drifting.one_pass(dry=True) == set(), "somebody may be on the way"
    world.clock.pass_(minutes=2)
    pooled = drifting.pooled()
    restored = {"ulid": STRANGER, "status": DatabaseStatus.BINDING, "owner": "one"}
    world.control.state.commit(Change(None, pooled.model_copy(update=restored)))
    looking = Looking(world.control, world.outside, drifting.count, world.clock())
    assert [low.making for low in look_at_pools(looking, idle=True)] == [0], "that is no pool's"
    drifting.lose(f"DB#{STRANGER}")
    drifting.depths["work_dlq"] = 3
    found = drifting.one_pass()
    assert found == {("tenant_stuck", "late"), ("pool_low", None), ("dlq_not_empty", None)}
    drifting.work()
    assert drifting.of("late").status is TenantStatus.ACTIVE
    assert ready(world) == world.control.settings.pool_target
    assert drifting.settled() == {"run": drifting.report["run"], "waiting": 0, "left": 1}
    assert drifting.one_pass() == {("dlq_not_empty", None)}
    [line] = [
        line
        for line in world.control.state.history(drifting.of("late"))
        if line["what"] == "repairing"
    ]
    assert line["who"] == "test"


@pytest.mark.parametrize("recorded", [True, False])
def test_a_missing_tenant_database(drifting: Drifting, tmp_path: Path, recorded: bool) -> None:
    """Its tenant fails and is offered a restore, which brings the data back; nothing else fails.

    So it is when the database's record is lost too, and only the tenant's names it.
    """
    add_long_work(drifting.world, tmp_path / "long")
    tenant = drifting.of("one")
    backed_up(drifting.world, tenant)
    drifting.delete_database(tenant.database_id)
    if not recorded:
        record = {"pk": f"DB#{tenant.database_ulid}", "sk": "META"}
        deleted = {":s": "deleted", ":k": "database#weur#deleted"}
        change = "SET #s = :s, status_key = :k"
        drifting.world.control.state.table.write(Update(record, change, {"#s": "status"}, deleted))
        assert drifting.one_pass(dry=True) == {("database_missing", "one")}
        drifting.lose(record["pk"])
    assert drifting.one_pass() == {("database_missing", "one")}
    [finding] = drifting.report["findings"]
    assert (finding["severity"], finding["repair"]) == ("critical", "fail")
    drifting.work()
    failed = drifting.of("one")
    assert (failed.status, failed.database_ulid) == (TenantStatus.FAILED, tenant.database_ulid)
    assert "d1fleet restore one" in failed.reason
    assert drifting.account.notes("one").status_code == 503
    drifting.serves("two", "three")
    assert drifting.one_pass() == {("database_missing", "one")}, "it is still not back"
    OperateRestore(drifting.world.control).restore(
        "one", backup_id=None, detached=False, replace=False, trace="t"
    )
    drifting.work()
    assert drifting.of("one").status is TenantStatus.ACTIVE
    assert drifting.one_pass() == set()
    drifting.serves(*TENANTS)


def test_a_missing_pool_database_is_replaced(drifting: Drifting) -> None:
    """Nobody can claim what is gone, the pool is as full as before, and so is the shard."""
    gone, pools = drifting.pooled(), drifting.world.control.pools
    rooms = pools.shards()
    drifting.delete_database(gone.database_id)
    assert drifting.one_pass() == {("database_missing", gone.name)}
    assert drifting.settled()["left"] == 0
    record = drifting.world.control.state.database(gone.ulid)
    assert record is not None
    assert record.status is DatabaseStatus.DELETED
    assert drifting.world.control.state.slot(gone.shard, gone.ulid) is None
    assert sum(room.used for room in pools.shards()) == sum(room.used for room in rooms)
    assert ready(drifting.world) == drifting.world.control.settings.pool_target
    drifting.world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()


def test_only_what_is_gone_gives_its_slot_back(drifting: Drifting) -> None:
    """What D1 still has keeps record and slot; once it is gone the sweep sees to both, once."""
    world, before = drifting.world, drifting.pooled()
    control = world.control
    used = sum(room.used for room in control.pools.shards())
    aside = before.moved(DatabaseStatus.QUARANTINED, world.clock(), reason="by hand")
    control.state.commit(Change(before, aside), also=turn_out(control, before))
    world.queues.wake(before.shard, "t")
    control.enqueue("pool", before.class_, trace="t")
    drifting.work()
    taken = used + 1  # by the one that the pool made instead
    for gone in (False, True):
        if gone:
            drifting.delete_database(before.database_id)
        world.clock.pass_(minutes=6)
        assert Sweep(control, world.outside)("sweep").gone == 1
        slot, record = control.state.slot(before.shard, before.ulid), control.state.database
        assert slot is not None
        assert slot.gone
        assert record(before.ulid) == aside
        assert sum(room.used for room in control.pools.shards()) == taken
        drifting.work()
    ended = record(before.ulid)
    assert ended is not None
    assert ended.status is DatabaseStatus.DELETED
    assert control.state.slot(before.shard, before.ulid) is None
    assert sum(room.used for room in control.pools.shards()) == used
    assert Sweep(control, world.outside)("sweep").gone == 0


def test_what_could_hurt_waits_for_a_second_pass_and_a_day(drifting: Drifting) -> None:
    """Orphans are adopted and strange bindings dropped, both only then; nothing is deleted."""
    world, shard = drifting.world, drifting.of("one").shard
    fleet = world.control.settings.fleet
    orphan = drifting.create_database(database_name(fleet, STRANGER))
    drifting.create_database(f"{fleet}-{STRANGER.lower()}-not-ours")
    gone = drifting.create_database(f"{fleet}-short-lived")
    other = STRANGER[:-1] + "B"
    dangling = STRANGER[:-1] + "C"
    strange = drifting.of("two").database_id
    drifting.account.edit(
        shard,
        {"type": "d1", "name": binding_name(other), "id": strange},
        {"type": "d1", "name": binding_name(dangling), "id": gone},
        {"type": "plain_text", "name": "THEIRS", "text": "kept"},
    )
    drifting.delete_database(gone)
    everything = {
        ("database_orphan", database_name(fleet, STRANGER)),
        ("binding_unexpected", database_name(fleet, other)),
        ("binding_dangling", database_name(fleet, dangling)),
    }
    # What was found is left alone for a day, however often it is looked at.
    for _ in range(2):
        assert drifting.one_pass() == everything
        assert drifting.report["repaired"] == 0
        assert binding_name(other) in drifting.account.databases(shard)
        assert world.control.state.database(STRANGER) is None
    world.clock.pass_(hours=25)
    assert len(drifting.told()) == 3
    assert drifting.one_pass() == everything
    assert all(told.startswith("firing") for told in drifting.told()), "reminders, after a day"
    assert drifting.settled()["left"] == 0
    assert (
        set(drifting.account.databases(shard)) & {binding_name(other), binding_name(dangling)}
        == set()
    )
    assert "THEIRS" in {each["name"] for each in drifting.account.settings(shard)}
    adopted = world.control.state.database(STRANGER)
    assert adopted is not None
    assert (adopted.status, adopted.database_id) == (DatabaseStatus.QUARANTINED, orphan)
    world.clock.pass_(hours=25)
    assert drifting.one_pass() == set()
    assert drifting.account.sdk.d1.database.get(orphan, account_id=drifting.account.id)
    drifting.serves(*TENANTS)


def test_a_record_that_was_lost_comes_back_to_its_tenant(drifting: Drifting) -> None:
    """The database of a tenant whose record is gone is handed back to that tenant alone.

    One that the directory knows as another's is adopted instead, quarantined, as that other's own.
    """
    world, one, three = drifting.world, drifting.of("one"), drifting.of("three")
    for tenant in (one, three):
        drifting.lose(f"DB#{tenant.database_ulid}")
    drifting.directory(
        f"UPDATE owner SET tenant_id = 'two' WHERE database_uuid = '{three.database_id}'"
    )
    assert drifting.one_pass() == {("database_orphan", "one"), ("database_orphan", "two")}
    world.clock.pass_(hours=25)
    assert drifting.one_pass() == {("database_orphan", "one"), ("database_orphan", "two")}
    drifting.settled()
    adopted = world.control.state.database(three.database_ulid)
    assert adopted is not None
    assert (adopted.status, adopted.owner) == (DatabaseStatus.QUARANTINED, "two")
    record = world.control.state.database(one.database_ulid)
    assert record is not None
    assert (record.status, record.owner, record.shard) == (
        DatabaseStatus.CLAIMED,
        "one",
        one.shard,
    )
    world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()
    drifting.serves(*TENANTS)


def test_what_is_in_the_databases(drifting: Drifting) -> None:
    """A changed schema, a ledger that lacks a file and a large database are told of."""
    one, two = drifting.of("one"), drifting.of("two")
    drifting.sql(one.database_id, "CREATE TABLE by_hand (id INTEGER)")
    large = "INSERT INTO notes (text) VALUES (hex(zeroblob(450000)))"
    drifting.sql(two.database_id, large)
    pooled = drifting.pooled()
    drifting.sql(pooled.database_id, "ALTER TABLE notes DROP COLUMN created_at")
    drifting.sql(pooled.database_id, "DELETE FROM d1_migrations WHERE name LIKE '0002%'")
    found = {
        ("schema_drift", "one"),
        ("size_near_limit", "two"),
        ("schema_behind", pooled.name),
    }
    assert drifting.one_pass() == found
    drifting.world.clock.pass_(hours=25)
    assert drifting.one_pass() == found
    assert drifting.settled()["left"] == 2
    drifting.sql(one.database_id, "DROP TABLE by_hand")
    drifting.sql(two.database_id, "DELETE FROM notes WHERE length(text) > 1000")
    drifting.world.clock.pass_(minutes=10)
    assert drifting.one_pass() <= {("size_near_limit", "two")}


def test_the_directory_never_leads_to_what_is_somebody_elses(drifting: Drifting) -> None:
    """A row that leads anybody, one on his way too, to another's data is mended at once."""
    one, two = drifting.of("one"), drifting.of("two")
    drifting.directory(
        f"UPDATE tenant SET database_uuid = '{two.database_id}', binding = '{two.binding}',"
        f" shard = '{two.shard}' WHERE tenant_id = 'one'"
    )
    drifting.directory(
        "INSERT INTO tenant SELECT 'stranger', shard, binding, NULL, state,"
        " schema_version, version, updated_at FROM tenant WHERE tenant_id = 'three'"
    )
    drifting.directory(
        "INSERT INTO tenant VALUES ('nobody', NULL, NULL, NULL, 'suspended', NULL, 1, 'x')"
    )
    drifting.directory("UPDATE tenant SET version = 9007199254740993 WHERE tenant_id = 'two'")
    drifting.sign_up("late")
    drifting.directory(
        "INSERT INTO tenant SELECT 'late', shard, binding, database_uuid, state,"
        " schema_version, 1, updated_at FROM tenant WHERE tenant_id = 'three'"
    )
    drifting.directory("DELETE FROM tenant WHERE tenant_id = 'three'")
    found = {("directory_stale", each) for each in (*TENANTS, "late", "stranger", "nobody")}
    assert drifting.one_pass() == found
    severities = {each["tenant_id"]: each["severity"] for each in drifting.report["findings"]}
    assert [severities[each] for each in ("one", "late", "stranger")] == ["critical"] * 3
    assert drifting.settled()["left"] == 1
    assert drifting.account.notes("stranger").status_code == 404
    assert drifting.of("one").database_id == one.database_id
    assert drifting.account.notes("late").json() == []
    assert drifting.one_pass() == {("directory_stale", "nobody")}
    drifting.serves(*TENANTS)


def test_a_dry_run_changes_nothing(drifting: Drifting) -> None:
    """It finds the same and neither writes a record, sends a message, nor tells anybody."""
    one = drifting.of("one")
    drifting.account.edit(one.shard, without=one.binding)
    before = table_of(drifting.world)
    assert drifting.one_pass(dry=True) == {("binding_missing", "one")}
    assert table_of(drifting.world) == before
    assert drifting.told() == []
    assert drifting.world.queues.heap == []


def table_of(world: World) -> list[dict[str, Any]]:
    """Return every item but the budget, which counts what is asked."""
    items = boto3.client("dynamodb").scan(TableName=world.control.settings.table_name)["Items"]
    return sorted(
        (item for item in items if item["pk"] != {"S": "BUDGET"}),
        key=lambda item: (item["pk"]["S"], item["sk"]["S"]),
    )


def test_a_pool_worker_that_was_deployed_over(
    drifting: Drifting, stats: Callable[[], dict[str, Any]]
) -> None:
    """It is told of as that and nothing else, uploaded anew, and resolved; each call is counted."""
    shard = drifting.of("one").shard
    drifting.account.put(shard, HELLO)
    assert drifting.account.emulator.settle()
    before = stats()["total"]
    answer = drifting.reconcile(trace="t", time_left=lambda: 10_000.0)
    drifting.report = drifting.runs.read(answer.report)
    assert stats()["total"] - before == drifting.report["rest_calls"]
    [finding] = drifting.report["findings"]
    assert (finding["kind"], finding["repaired"]) == ("worker_overwritten", True)
    drifting.settled()
    assert drifting.report["left"] == 0
    drifting.serves(*TENANTS)
    drifting.world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()
