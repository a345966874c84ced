"""A restore on an operator's word: killed anywhere it ends the same, and what is used stays."""

from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.backup import BackupReason, Restore, RestoreStatus
from shared.domain.breaker import deletes_allowed
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outcomes import Done
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent, Transient
from shared.settings import Settings
from shared.usecases.operate_restore import Asked, OperateRestore
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.push_migrations import push_migrations
from shared.usecases.request_backup import request_backup
from tests.usecases.conftest import MIGRATIONS
from tests.usecases.killing import Killed
from tests.usecases.leaving import close, database_of, gone, live, on_d1, tenant_of
from tests.usecases.long_work import Bucket, add_long_work, api, backed_up, listen
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

MOST_EFFECTS = 20


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


@pytest.fixture(autouse=True)
def bucket(world: World, tmp_path: Path) -> Bucket:
    return add_long_work(world, tmp_path / "work")


def noted(world: World, tenant_id: str) -> Tenant:
    """Return a live tenant with a note, and a proven backup of it."""
    tenant = live(world, tenant_id)
    api(world).d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('kept')")
    backed_up(world, tenant)
    return tenant


def notes(world: World, database: Database) -> int:
    sql = "SELECT count(*) AS n FROM notes"
    return int(api(world).d1.query(database.database_id or "", sql)[0].results[0]["n"])


def replace(world: World, tenant_id: str) -> Asked:
    return OperateRestore(world.control).restore(
        tenant_id, backup_id=None, detached=False, replace=True, trace="t"
    )


def restore_of(world: World, restore: Restore) -> Restore:
    found = world.control.state.restore(restore.restore_id)
    assert found is not None
    return found


def copy_of(world: World, tenant_id: str) -> Database:
    """Return a detached copy of a tenant's newest backup."""
    asked = OperateRestore(world.control).restore(
        tenant_id, backup_id=None, detached=True, replace=False, trace="t"
    )
    world.run()
    assert asked.restore is not None
    database = world.control.state.database(asked.restore.database_ulid)
    assert database is not None
    assert database.status is DatabaseStatus.DETACHED
    return database


def test_killed_after_each_side_effect_of_the_word(world: World) -> None:
    """Said again, a replacement that was cut off goes on: one fresh database, the old one aside."""
    tenant = noted(world, "org_a")
    for number in range(1, MOST_EFFECTS):
        old = database_of(world, tenant)
        world.executioner.arm(number)
        try:
            replace(world, "org_a")
        except Killed:
            replace(world, "org_a")
        effects = list(world.executioner.effects)
        world.executioner.arm(None)
        world.run(most=600)
        assert status(world, "org_a") is TenantStatus.ACTIVE
        tenant = tenant_of(world, "org_a")
        assert tenant.database_ulid != old.ulid
        assert notes(world, database_of(world, tenant)) == 1
        aside = world.control.state.database(old.ulid)
        assert aside is not None
        assert (aside.status, aside.owner) == (DatabaseStatus.DETACHED, "org_a")
        assert notes(world, aside) == 1
        slot = world.control.state.slot(old.shard, old.ulid)
        assert slot is not None
        assert slot.gone
        if len(effects) < number:
            assert len(effects) >= 3
            return
    raise AssertionError("there are more side effects than there can be")


def test_it_is_served_until_the_backup_is_proven(world: World, emulator: Emulator) -> None:
    """Then what it had is seen gone before the new one is bound: never both, never neither's."""
    old = database_of(world, noted(world, "org_a"))
    hold = f"{emulator.control_url}/hold"
    asked = replace(world, "org_a").restore
    assert asked is not None
    assert replace(world, "org_a").restore == asked
    seen: list[tuple[TenantStatus, str]] = []

    def look(request: httpx.Request) -> None:
        if request.url.path.endswith("/import"):
            served_from = world.outside.router().probe("org_a").binding
            seen.append((tenant_of(world, "org_a").status, served_from))

    world.executioner.meddle = look
    httpx.post(hold, json={"script": old.shard, "hold": True}).raise_for_status()
    world.settle = lambda: None
    world.run(lambda: status(world, "org_a") is TenantStatus.PENDING)
    world.run(lambda: restore_of(world, asked).token is not None)
    slot = world.control.state.slot(old.shard, asked.database_ulid)
    assert slot is not None
    assert slot.database_id is None
    assert len(seen) >= 3
    assert set(seen) == {(TenantStatus.ACTIVE, old.binding)}
    httpx.post(hold, json={"script": old.shard, "hold": False}).raise_for_status()
    world.settle = emulator.settle
    world.run(lambda: restore_of(world, asked).status is RestoreStatus.DONE)
    gone_slot = world.control.state.slot(old.shard, old.ulid)
    assert gone_slot is not None
    assert gone_slot.gone
    world.run()
    after = tenant_of(world, "org_a")
    assert (after.status, after.database_ulid) == (TenantStatus.ACTIVE, asked.database_ulid)


def test_a_backup_that_can_not_be_restored_costs_a_live_tenant_nothing(
    world: World, bucket: Bucket
) -> None:
    """Refused, it has what it had, all the time; asked for again there is a new restore."""
    tenant = noted(world, "org_a")
    bucket.delete_all("backups/")
    asked = replace(world, "org_a").restore
    assert asked is not None
    world.run()
    assert restore_of(world, asked).status is RestoreStatus.REFUSED
    after = tenant_of(world, "org_a")
    assert (after.status, after.database_ulid, after.restore_id) == (
        TenantStatus.ACTIVE,
        tenant.database_ulid,
        None,
    )
    assert world.outside.router().probe("org_a").binding == tenant.binding
    again = replace(world, "org_a").restore
    assert again is not None
    assert again.restore_id != asked.restore_id


def test_a_backup_that_takes_no_newer_migration_costs_a_live_tenant_nothing(world: World) -> None:
    """It is found out on a copy, before a database is made, and the reason names the file."""
    tenant = noted(world, "org_a")
    api(world).d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('kept')")
    backed_up(world, tenant)
    api(world).d1.query(tenant.database_id or "", "DELETE FROM notes WHERE id > 1")
    unique = {"0002_unique.sql": b"CREATE UNIQUE INDEX one ON notes (text);"}
    push_migrations(
        world.outside.migrations,
        MIGRATIONS | unique,
        pushed_by="test",
        now=world.clock,
        applied=lambda _: frozenset(),
    )
    asked = replace(world, "org_a").restore
    assert asked is not None
    world.run()
    refused = restore_of(world, asked)
    assert refused.status is RestoreStatus.REFUSED
    assert "0002_unique.sql, line 1" in (refused.reason or "")
    after = tenant_of(world, "org_a")
    assert (after.status, after.database_ulid) == (TenantStatus.ACTIVE, tenant.database_ulid)
    fresh = world.control.state.database(asked.database_ulid)
    assert fresh is not None
    assert not on_d1(world, fresh)


def test_what_was_replaced_can_take_its_place_again(world: World) -> None:
    """A backup of the copy is one of the tenant's: whoever chose the wrong one can go back."""
    old = database_of(world, noted(world, "org_a"))
    api(world).d1.query(old.database_id or "", "INSERT INTO notes (text) VALUES ('later')")
    replace(world, "org_a")
    world.run()
    tenant = tenant_of(world, "org_a")
    assert notes(world, database_of(world, tenant)) == 1
    aside = world.control.state.database(old.ulid)
    assert aside is not None
    again = request_backup(world.control, tenant, aside, because=BackupReason.OPERATOR, trace="t")
    world.run()
    OperateRestore(world.control).restore(
        "org_a", backup_id=again.backup_id, detached=False, replace=True, trace="t"
    )
    world.run()
    assert notes(world, database_of(world, tenant_of(world, "org_a"))) == 2


def test_killed_at_the_swap_nobody_waits_long(world: World) -> None:
    """Cut off by then, its tenant is served as soon as the next message comes."""
    noted(world, "org_a")
    asked = replace(world, "org_a").restore
    assert asked is not None
    happened = world.executioner.happened

    def strike(what: str) -> None:
        happened(what)
        if status(world, "org_a") is TenantStatus.PENDING and not struck:
            struck.append(world.clock())
            raise Killed(what)

    struck: list[datetime] = []
    world.executioner.happened = strike  # type: ignore[method-assign] # a witness, not a mock
    world.run(lambda: bool(struck))
    world.control.enqueue("tenant", "org_a", trace="t")
    world.run(lambda: status(world, "org_a") is TenantStatus.ACTIVE)
    assert world.clock() - struck[0] < timedelta(minutes=5)


def test_closed_before_it_was_proven_nothing_of_it_comes_to_d1(world: World) -> None:
    """Nobody waits for it any more: what its customer left is not brought back, and no alert."""
    noted(world, "org_a")
    alerted = listen(world)
    at_work = world.long_work["restore"]
    world.long_work["restore"] = lambda _: Done()
    asked = replace(world, "org_a").restore
    assert asked is not None
    close(world, "org_a")
    gone(world, "org_a")
    world.long_work["restore"] = at_work
    world.control.enqueue("restore", asked.restore_id, trace="t")
    world.run()
    assert restore_of(world, asked).reason == "its tenant does not wait for it any more"
    fresh = world.control.state.database(asked.database_ulid)
    assert fresh is not None
    assert (fresh.status, on_d1(world, fresh)) == (DatabaseStatus.QUARANTINED, False)
    assert "restore_refused" not in alerted()


def test_what_is_gone_from_d1_is_replaced_all_the_same(world: World) -> None:
    """Somebody deleted it by hand while the backup was restored: it takes its place."""
    tenant = noted(world, "org_a")
    old = database_of(world, tenant)
    asked = replace(world, "org_a").restore
    assert asked is not None
    lost = old.moved(DatabaseStatus.QUARANTINED, world.control.now(), reason="gone")
    world.control.state.commit(Change(old, lost))
    world.run()
    after = tenant_of(world, "org_a")
    assert (after.status, after.database_ulid) == (TenantStatus.ACTIVE, asked.database_ulid)


def test_another_backup_is_not_swapped_for_the_one_under_way(world: World) -> None:
    """Which one is coming is said; asked for the same, it is that one."""
    tenant = noted(world, "org_a")
    first = world.control.state.backups_of("org_a")[0]
    second = backed_up(world, tenant)
    asked = replace(world, "org_a").restore
    assert asked is not None
    assert asked.backup_id == second.backup_id
    with pytest.raises(Permanent, match=f"backup {second.backup_id} is being restored"):
        OperateRestore(world.control).restore(
            "org_a", backup_id=first.backup_id, detached=False, replace=True, trace="t"
        )


def test_a_tenant_that_leaves_meanwhile_keeps_what_it_has(world: World) -> None:
    """Its closing is the newer word: the restore is refused, and the closing goes on."""
    tenant = noted(world, "org_a")
    asked = replace(world, "org_a").restore
    assert asked is not None
    close(world, "org_a", grace=timedelta(days=30))
    world.run()
    after = tenant_of(world, "org_a")
    assert (
        restore_of(world, asked).reason
        == "org_a is closing by now and keeps the database that it has"
    )
    assert (after.status, after.database_ulid, after.restore_id) == (
        TenantStatus.CLOSING,
        tenant.database_ulid,
        None,
    )


def test_an_operator_that_suspends_meanwhile_is_heard(world: World) -> None:
    """The newer word counts: the backup takes its place, and the tenant stays suspended."""
    noted(world, "org_a")
    asked = replace(world, "org_a").restore
    assert asked is not None
    world.clock.pass_(seconds=1)
    OperateTenant(world.control).suspend("org_a", trace="t")
    world.run()
    after = tenant_of(world, "org_a")
    assert (after.status, after.database_ulid) == (TenantStatus.SUSPENDED, asked.database_ulid)


def test_a_copy_is_dropped_for_good(world: World) -> None:
    """The one that is named goes from D1, what the tenant uses stays; asked again it is gone."""
    tenant = noted(world, "org_a")
    copy = copy_of(world, "org_a")
    operate = OperateRestore(world.control)
    with pytest.raises(Permanent, match="it is no copy"):
        operate.drop("org_a", tenant.database_name or "", trace="t")
    live(world, "org_b")
    with pytest.raises(Permanent, match="org_b"):
        operate.drop("org_b", copy.name, trace="t")
    assert operate.drop("org_a", copy.name, trace="t").status is DatabaseStatus.DELETING
    assert operate.drop("org_a", copy.name, trace="t").status is DatabaseStatus.DELETING
    world.run()
    assert operate.drop("org_a", copy.name, trace="t").status is DatabaseStatus.DELETED
    assert not on_d1(world, copy)
    assert on_d1(world, database_of(world, tenant))
    assert status(world, "org_a") is TenantStatus.ACTIVE


def test_a_copy_that_was_quarantined_can_be_dropped(world: World) -> None:
    """A restore that was refused leaves a database with perhaps half of somebody's data."""
    noted(world, "org_a")
    copy = copy_of(world, "org_a")
    now = world.control.now()
    stopped = copy.moved(DatabaseStatus.QUARANTINED, now, reason="half of it")
    world.control.state.commit(Change(copy, stopped))
    OperateRestore(world.control).drop("org_a", copy.name, trace="t")
    world.run()
    assert not on_d1(world, copy)


def test_what_a_tenant_waits_for_is_no_copy(world: World) -> None:
    """A refused restore is tried again with the same database: it must not be dropped."""
    noted(world, "org_a")
    asked = replace(world, "org_a")
    assert asked.restore is not None
    assert asked.restore.status is RestoreStatus.WANTED
    database = world.control.state.database(asked.restore.database_ulid)
    assert database is not None
    stopped = database.moved(DatabaseStatus.QUARANTINED, world.control.now())
    world.control.state.commit(Change(database, stopped))
    with pytest.raises(Permanent, match="waits for it"):
        OperateRestore(world.control).drop("org_a", database.name, trace="t")


def test_an_open_breaker_stops_dropping_too(world: World) -> None:
    """Every delete passes it: nothing is changed, and the line names the command."""
    noted(world, "org_a")
    copy = copy_of(world, "org_a")
    control = world.control
    control.state.commit(also=[control.breaker.open(control.breaker.read(), "many", control.now())])
    with pytest.raises(Transient, match="breaker status"):
        OperateRestore(control).drop("org_a", copy.name, trace="t")
    assert on_d1(world, copy)
    assert control.state.database(copy.ulid) == copy


def test_dropping_a_copy_never_stops_the_fleets_deletes(world: World) -> None:
    """A day's most is reached: the copy that a person names goes all the same, and is counted."""
    noted(world, "org_a")
    copy = copy_of(world, "org_a")
    control = world.control
    for _ in range(deletes_allowed(0, 1)):
        control.state.commit(also=[control.breaker.count(control.breaker.read(), control.now())])
    OperateRestore(control).drop("org_a", copy.name, trace="t")
    world.run()
    assert not on_d1(world, copy)
    breaker = control.breaker.read()
    assert not breaker.is_open
    assert breaker.recent(control.now()) == deletes_allowed(0, 1) + 1
