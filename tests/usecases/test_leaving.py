"""Leaving: suspended, resumed, closed; one recorded step after the other, and back between any."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.tenant import TenantStatus
from shared.errors import Permanent
from shared.settings import Settings
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.retry_tenant import RetryTenant
from shared.usecases.sweep import Sweep
from tests.support.events import CREATED_AT, signup
from tests.usecases.leaving import (
    Prover,
    close,
    database_of,
    databases,
    gone,
    hear,
    live,
    on_d1,
    row_of,
    tenant_of,
)
from tests.usecases.long_work import listen
from tests.usecases.test_signup_path import accept, status
from tests.usecases.world import World

S, D = TenantStatus, DatabaseStatus


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


@pytest.fixture
def world(world: World) -> World:
    world.long_work["backup"] = Prover(world)
    return world


@pytest.fixture
def heard(world: World) -> Callable[[], list[dict[str, Any]]]:
    """What the event bus was told."""
    return hear(world)


def operate(world: World) -> OperateTenant:
    return OperateTenant(world.control)


def test_suspended_and_resumed_without_a_call_to_cloudflare(
    world: World, stats: Callable[[], dict[str, Any]], heard: Callable[[], list[dict[str, Any]]]
) -> None:
    """Access is cut and given back through the directory alone; the data is not touched."""
    before = live(world, "org_a")
    calls = stats()["total"]
    heard()
    assert operate(world).suspend("org_a", trace="t").status is S.SUSPENDED
    world.run()
    assert row_of(world, "org_a") == "suspended"
    assert operate(world).resume("org_a", trace="t").status is S.ACTIVATING
    world.run()
    after = tenant_of(world, "org_a")
    assert (after.status, row_of(world, "org_a")) == (S.ACTIVE, "active")
    assert after.database_ulid == before.database_ulid
    assert stats()["total"] == calls
    kinds = [event["detail-type"] for event in heard()]
    assert kinds == ["TenantSuspended", "TenantResumed"]


def test_a_tenant_leaves_for_good(world: World, heard: Callable[[], list[dict[str, Any]]]) -> None:
    """After grace and proof its database goes from the shard, then from D1; a receipt is left."""
    tenant = live(world, "org_bye")
    database = database_of(world, tenant)
    [room] = world.control.pools.shards()
    heard()
    close(world, "org_bye")
    gone(world, "org_bye")
    assert not on_d1(world, database)
    assert database_of(world, tenant).status is D.DELETED
    assert world.control.state.slot(database.shard, database.ulid) is None
    [after] = world.control.pools.shards()
    assert after.used == room.used - 1
    bindings = world.outside.cloudflare().on(Lane.REPAIR).workers.settings(database.shard).bindings
    assert database.binding not in {binding["name"] for binding in bindings}
    assert row_of(world, "org_bye") == "closed"
    closed = tenant_of(world, "org_bye")
    [backup] = world.control.state.backups_of("org_bye")
    assert closed.final_backup_id == backup.backup_id
    [receipt] = world.control.state.table.query("TENANT#org_bye", prefix="RECEIPT#")
    assert receipt["database_id"] == database.database_id
    assert receipt["backup_id"] == backup.backup_id
    assert receipt["on_whose_word"] == "closed by an operator"
    events = {event["detail-type"]: event["detail"] for event in heard()}
    assert list(events) == ["TenantClosing", "TenantClosed"]
    assert events["TenantClosed"]["backup_id"] == backup.backup_id


def test_nothing_happens_to_the_data_within_the_grace(world: World) -> None:
    """A deletion at the auth provider cuts access at once; thirty days later it goes on."""
    tenant = live(world, "org_bye")
    gone_at = CREATED_AT + timedelta(days=1)
    event = signup("org_bye", event_id="e", verb="tenant.removed", occurred_at=gone_at)
    accept(world).signup(event, body_sha256="b", trace="t")
    world.run()
    assert row_of(world, "org_bye") == "closing"
    for days in (1, 28):
        world.clock.pass_(days=days)
        Sweep(world.control, world.outside)("sweep")
        world.run()
        assert database_of(world, tenant).status is D.CLAIMED
    world.clock.pass_(days=1, minutes=11)
    Sweep(world.control, world.outside)("sweep")
    gone(world, "org_bye")
    assert not on_d1(world, database_of(world, tenant))


STEPS = [D.CLAIMED, D.EXPORTING, D.UNBINDING]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("how", ["resume", "signup"])
def test_a_resume_wins_between_any_two_steps(world: World, step: DatabaseStatus, how: str) -> None:
    """Up to the point of no return the tenant comes back with its own database and all in it."""
    tenant = live(world, "org_back")
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    uuid = tenant.database_id or ""
    d1.query(uuid, "INSERT INTO notes (text) VALUES ('still here')")
    if how == "signup":
        event = signup(
            "org_back", event_id="e", verb="tenant.removed", occurred_at=CREATED_AT + NOW_AND
        )
        accept(world).signup(event, body_sha256="b", trace="t")
    close(world, "org_back")
    at_step = lambda: database_of(world, tenant).status is step  # noqa: E731 - said once
    world.run(at_step)
    if how == "signup":
        again = signup("org_back", event_id="f", occurred_at=world.clock())
        accept(world).signup(again, body_sha256="c", trace="t")
    operate(world).resume("org_back", trace="t")
    world.run(lambda: status(world, "org_back") is S.ACTIVE)
    world.run()
    back = tenant_of(world, "org_back")
    assert back.database_id == uuid
    assert database_of(world, back).status is D.CLAIMED
    assert world.outside.router().probe("org_back").database_uuid == uuid
    rows = d1.query(uuid, "SELECT text FROM notes", read_only=True)[0].results
    assert list(rows) == [{"text": "still here"}]


NOW_AND = timedelta(days=1)


def test_a_suspension_wins_over_a_closing_too(world: World) -> None:
    """Whoever is suspended instead of closed keeps the database, bound again."""
    tenant = live(world, "org_s")
    close(world, "org_s")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    operate(world).suspend("org_s", trace="t")
    world.run()
    assert (status(world, "org_s"), row_of(world, "org_s")) == (S.SUSPENDED, "suspended")
    assert database_of(world, tenant).status is D.CLAIMED
    operate(world).resume("org_s", trace="t")
    world.run(lambda: status(world, "org_s") is S.ACTIVE)


def test_a_resume_after_the_point_of_no_return_waits_for_its_backup(world: World) -> None:
    """The database goes, the tenant does not get an empty one: its backup is wanted."""
    tenant = live(world, "org_late")
    database = database_of(world, tenant)
    close(world, "org_late")
    world.run(lambda: database_of(world, tenant).status is D.DELETING)
    assert operate(world).resume("org_late", trace="t").status is S.PENDING
    world.long_work["restore"] = world.long_work["backup"]  # nobody restores in this test
    world.run(lambda: tenant_of(world, "org_late").restore_id is not None)
    world.run(lambda: database_of(world, tenant).status is D.DELETED)
    assert not on_d1(world, database)
    waiting = tenant_of(world, "org_late")
    assert (waiting.status, waiting.database_ulid) == (S.PENDING, None)
    restore = world.control.state.restore(waiting.restore_id or "")
    assert restore is not None
    assert restore.backup_id == waiting.final_backup_id
    [fresh] = [db for db in databases(world, D.IMPORTING) if db.owner == "org_late"]
    assert restore.database_ulid == fresh.ulid


def test_what_was_written_after_the_proof_is_backed_up_again(world: World) -> None:
    """A write between proof and deletion is seen by the bookmark: another backup comes first."""
    tenant = live(world, "org_w")
    close(world, "org_w")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('late')")
    gone(world, "org_w")
    backups = world.control.state.backups_of("org_w")
    assert len(backups) == 2
    assert len({backup.bookmark for backup in backups}) == 2
    assert tenant_of(world, "org_w").final_backup_id == backups[0].backup_id


def test_a_proof_of_an_earlier_closing_is_none(world: World) -> None:
    """Closed, backed up, resumed and closed again: the second closing is proven anew."""
    tenant = live(world, "org_twice")
    close(world, "org_twice")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    operate(world).resume("org_twice", trace="t")
    world.run(lambda: status(world, "org_twice") is S.ACTIVE)
    close(world, "org_twice")
    gone(world, "org_twice")
    first, second = sorted(
        world.control.state.backups_of("org_twice"), key=lambda backup: backup.created_at
    )
    assert first.closing_id != second.closing_id
    assert tenant_of(world, "org_twice").final_backup_id == second.backup_id


def test_a_backup_that_is_refused_stops_everything(world: World) -> None:
    """Nothing is unbound or deleted; one alert; mended, an operator's word lets it go on."""
    prover = Prover(world, refuses="the bucket refuses")
    world.long_work["backup"] = prover
    alerted = listen(world)
    tenant = live(world, "org_stop")
    close(world, "org_stop")
    for _ in range(3):
        world.run()
        world.clock.pass_(hours=1)  # less than until a reminder
        Sweep(world.control, world.outside)("sweep")
    stopped = database_of(world, tenant)
    assert stopped.status is D.QUARANTINED
    assert on_d1(world, stopped)
    assert world.outside.router().inspect(stopped.shard, [stopped.binding], "d1_migrations")
    assert "the bucket refuses" in (tenant_of(world, "org_stop").held_up or "")
    assert alerted().count("tenant_held_up") == 1
    prover.refuses = None
    RetryTenant(world.control, world.outside)("org_stop", "t")
    gone(world, "org_stop")


def test_a_stopped_closing_can_be_resumed(world: World) -> None:
    """Whoever pays while an operator looks gets the database back as it is."""
    world.long_work["backup"] = Prover(world, refuses="disk full")
    tenant = live(world, "org_stop")
    close(world, "org_stop")
    world.run(lambda: database_of(world, tenant).status is D.QUARANTINED)
    operate(world).resume("org_stop", trace="t")
    world.run(lambda: status(world, "org_stop") is S.ACTIVE)
    assert database_of(world, tenant).status is D.CLAIMED


def test_an_operators_explicit_word_spares_the_backup(world: World) -> None:
    """`--without-backup` deletes after unbinding, with no backup, and the receipt says so."""
    world.long_work["backup"] = Prover(world, refuses="never asked")
    tenant = live(world, "org_bare")
    close(world, "org_bare", without_backup=True)
    gone(world, "org_bare")
    assert not on_d1(world, database_of(world, tenant))
    assert world.control.state.backups_of("org_bare") == []
    [receipt] = world.control.state.table.query("TENANT#org_bare", prefix="RECEIPT#")
    assert receipt["without_backup"] is True


def test_a_closed_id_that_signs_up_again_gets_an_empty_database(world: World) -> None:
    """The second life has another database and sees nothing of the first."""
    first = live(world, "org_two")
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    d1.query(first.database_id or "", "INSERT INTO notes (text) VALUES ('old')")
    close(world, "org_two")
    gone(world, "org_two")
    event = signup("org_two", event_id="again", occurred_at=CREATED_AT + timedelta(days=9))
    accept(world).signup(event, body_sha256="b", trace="t")
    world.run(lambda: status(world, "org_two") is S.ACTIVE)
    second = tenant_of(world, "org_two")
    assert (second.episode, second.operator) == (2, None)
    assert second.database_id != first.database_id
    rows = d1.query(second.database_id or "", "SELECT text FROM notes", read_only=True)[0].results
    assert list(rows) == []


def test_a_name_that_does_not_match_its_uuid_is_not_deleted(
    world: World, emulator: Emulator
) -> None:
    """Should D1 show another database under the uuid, a person looks first."""
    tenant = live(world, "org_odd")
    database = database_of(world, tenant)
    close(world, "org_odd")
    world.run(lambda: database_of(world, tenant).status is D.DELETING)
    current = database_of(world, tenant)
    other = "1" if database.name.endswith("0") else "0"
    forged = current.changed(world.clock(), name=f"{database.name[:-1]}{other}")
    world.control.state.commit(Change(current, forged))
    world.run()
    assert on_d1(world, database)
    assert database_of(world, tenant).status is D.QUARANTINED


def test_words_that_make_no_sense_are_refused(world: World) -> None:
    """Nobody is there; or it is closed already: one line that says what to do instead."""
    with pytest.raises(Permanent, match="there is no tenant"):
        operate(world).suspend("org_nobody", trace="t")
    live(world, "org_bye")
    close(world, "org_bye")
    gone(world, "org_bye")
    for word in (operate(world).suspend, operate(world).resume):
        with pytest.raises(Permanent, match="is closed"):
            word("org_bye", trace="t")


def faults(emulator: Emulator, *some: dict[str, Any]) -> None:
    httpx.post(f"{emulator.control_url}/faults", json=list(some)).raise_for_status()


@pytest.mark.parametrize(
    "fault",
    [
        {"route": "DELETE /accounts/{a}/d1/database/{id}", "do": "lose_answer"},
        {"route": "DELETE /accounts/{a}/d1/database/{id}", "do": "status", "status": 503},
        {"route": "GET /accounts/{a}/d1/database/{id}", "do": "status", "status": 500},
        {"route": "PATCH /accounts/{a}/workers/scripts/{n}/settings", "do": "lose_answer"},
        {"route": "GET /accounts/{a}/d1/database/{id}/time_travel/bookmark", "do": "lose_answer"},
        {
            "route": "DELETE /accounts/{a}/d1/database/{id}",
            "do": "status",
            "status": 429,
            "seconds": 2,
        },
    ],
    ids=lambda fault: f"{fault['do']} {fault['route'].split()[0]} {fault.get('status', '')}",
)
def test_whatever_fails_once_the_end_is_the_same(
    world: World, emulator: Emulator, fault: dict[str, Any]
) -> None:
    """A lost answer, an error, a limit at any call: gone at the end, exactly once."""
    tenant = live(world, "org_f")
    faults(emulator, {"nth": 1, **fault})
    close(world, "org_f")
    gone(world, "org_f")
    assert not on_d1(world, database_of(world, tenant))
    assert len(list(world.control.state.table.query("TENANT#org_f", prefix="RECEIPT#"))) == 1


def test_a_token_that_lost_its_permission_holds_up_and_alerts_once(
    world: World, emulator: Emulator
) -> None:
    """Nothing is lost: with the permission back the closing goes on by itself to its end."""
    tenant = live(world, "org_token")
    alerted = listen(world)
    close(world, "org_token")
    world.run(lambda: database_of(world, tenant).status is D.DELETING)
    order = {"token": emulator.api_token, "groups": ["Account Settings Read"]}
    httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    try:
        for _ in range(3):
            world.run(most=30) if world.queues.heap else None
            world.clock.pass_(minutes=11)
            Sweep(world.control, world.outside)("sweep")
    except AssertionError:
        pass  # it is tried for as long as messages are delivered
    finally:
        order["groups"] = [*order["groups"], "D1 Write", "Workers Scripts Write"]
        httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    assert on_d1(world, database_of(world, tenant))
    assert alerted().count("database_held_up") == 1
    gone(world, "org_token")
    assert not on_d1(world, database_of(world, tenant))
