"""The brakes: a mass of departures is told of, a mass of deletes does not happen."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.aws.items import Change, new_ulid, slot_put
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.billing_events import Word
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.links import Hint
from shared.domain.names import database_name, shard_script
from shared.domain.subscription import Fact, Standing
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Slot
from shared.settings import Settings
from shared.usecases.brakes import confirm_deletes, due_deletes
from shared.usecases.keep_books import KeepBooks, Said
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.sweep import Sweep
from tests.support.events import signup
from tests.usecases.leaving import Prover, database_of, databases, live, on_d1
from tests.usecases.long_work import listen
from tests.usecases.test_signup_path import accept
from tests.usecases.world import World

MANY = 100
SOME = 10


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 0, "grace_period": timedelta(0)})


@pytest.fixture
def alerts(world: World) -> Callable[[], list[str]]:
    """The kinds of the alerts that a person got since the last look."""
    return listen(world)


def at_the_point(world: World, tenant_id: str) -> None:
    """Write down a closing tenant whose database is proven, unbound and seen gone."""
    control, now = world.control, world.clock()
    times = {"created_at": now, "updated_at": now, "status_since": now}
    ulid = new_ulid(now)
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    made = d1.create(database_name(control.settings.fleet, ulid), "weur")
    ours = {
        "class_": "weur",
        "shard": shard_script(world.control.settings.fleet, 1),
        "database_id": made.uuid,
        **times,
    }
    tenant = Tenant(
        tenant_id=tenant_id,
        status=TenantStatus.CLOSING,
        routed_status=TenantStatus.CLOSING,
        database_ulid=ulid,
        database_name=made.name,
        closing_id="C",
        grace_ends_at=now,
        access_cut_at=now - timedelta(hours=1),
        **ours,
    )
    database = Database(
        ulid=ulid, name=made.name, status=DatabaseStatus.UNBINDING, owner=tenant_id, **ours
    )
    backup = Backup(
        backup_id=new_ulid(now),
        tenant_id=tenant_id,
        status=BackupStatus.PROVEN,
        because=BackupReason.CLOSING,
        database_ulid=ulid,
        closing_id="C",
        bookmark=d1.bookmark(made.uuid),
        proven_at=now,
        **times,
    )
    slot = Slot(ulid=ulid, binding=database.binding, leaving=True, gone=True)
    control.state.commit(
        *(Change(None, record) for record in (tenant, database, backup)),
        also=[
            slot_put(shard_script(world.control.settings.fleet, 1), slot),
            Pools.take_slots(shard_script(world.control.settings.fleet, 1), 1, 1000),
        ],
    )
    control.enqueue("tenant", tenant_id, trace="t")


def swept(world: World, times: int) -> None:
    for _ in range(times):
        world.run(most=5000)
        world.clock.pass_(minutes=16)
        Sweep(world.control, world.outside)("sweep")
    world.run(most=5000)


def test_a_hundred_at_the_point_of_no_return_are_stopped_before_the_first(
    world: World, alerts: Callable[[], list[str]]
) -> None:
    """Nothing is deleted and one alert says so, until a person lets them go."""
    tenants = [f"org_{number}" for number in range(MANY)]
    for tenant_id in tenants:
        at_the_point(world, tenant_id)
    swept(world, 1)
    assert databases(world, DatabaseStatus.DELETING, DatabaseStatus.DELETED) == []
    assert all(on_d1(world, database) for database in databases(world, DatabaseStatus.UNBINDING))
    assert alerts().count("breaker_open") == 1
    assert due_deletes(world.control, most=1000) == MANY
    assert confirm_deletes(world.control, "t") == MANY
    world.run(lambda: len(databases(world, DatabaseStatus.DELETED)) == SOME, most=5000)
    assert "breaker_open" not in alerts()


def test_subscriptions_that_end_together_are_stopped_before_the_first_delete(
    world: World, alerts: Callable[[], list[str]]
) -> None:
    """All the way from billing's words: proven, unbound, and there; nothing of them is deleted."""
    world.long_work["backup"] = Prover(world)
    tenants = [live(world, f"org_{number}") for number in range(SOME)]
    for tenant in tenants:
        ended(world, tenant.tenant_id)
    for _ in range(4):
        swept(world, 1)
    closing = [database_of(world, tenant) for tenant in tenants]
    assert {database.status for database in closing} == {DatabaseStatus.UNBINDING}
    assert all(on_d1(world, database) for database in closing)
    told = alerts()
    assert (told.count("breaker_open"), told.count("mass_closing")) == (1, 1)


def ended(world: World, tenant_id: str) -> None:
    """Have billing say that a tenant's subscription is over."""
    control = world.control
    fact = Fact(standing=Standing.ENDED, at=control.now(), said="canceled")
    hint = Hint(tenant_id=tenant_id, vouched=True)
    word = Word(subscription_id=f"sub_{tenant_id}", hint=hint, fact=fact)
    said = Said("stripe", "live", word, why="canceled", trace="t")
    assert KeepBooks(control).enter(said).tenant is not None
    control.enqueue("tenant", tenant_id, trace="t")


def test_the_next_wave_needs_another_word(world: World, alerts: Callable[[], list[str]]) -> None:
    """What a person confirmed is what was due then: six more trip the breaker again."""
    for number in range(6):
        at_the_point(world, f"org_{number}")
    swept(world, 1)
    confirm_deletes(world.control, "t")
    world.run()
    assert len(databases(world, DatabaseStatus.DELETED)) == 6
    for number in range(6, 12):
        at_the_point(world, f"org_{number}")
    swept(world, 1)
    assert len(databases(world, DatabaseStatus.DELETED)) == 6
    assert alerts().count("breaker_open") == 2


def test_a_few_a_day_go_without_a_word(world: World) -> None:
    """Five a day are nothing unusual in a small fleet; the sixth of a day is stopped."""
    for number in range(5):
        at_the_point(world, f"org_{number}")
    swept(world, 1)
    assert len(databases(world, DatabaseStatus.DELETED)) == 5
    at_the_point(world, "org_6")
    swept(world, 1)
    assert len(databases(world, DatabaseStatus.DELETED)) == 5
    assert world.control.breaker.read().is_open


def test_an_index_that_lags_stops_nobody(
    world: World, alerts: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who passed a moment ago, or came back, is still listed as due: only the records count."""
    for number in range(6):
        at_the_point(world, f"org_{number}")
    state = world.control.state
    listed = list(state.tenants(TenantStatus.CLOSING))
    assert len(listed) == 6
    monkeypatch.setattr(State, "tenants", lambda *_args, **_more: iter(listed))
    OperateTenant(world.control).resume("org_5", trace="t")
    world.run(lambda: len(databases(world, DatabaseStatus.DELETED)) == 5)
    assert due_deletes(world.control, most=1000) == 6
    assert not world.control.breaker.read().is_open
    assert "breaker_open" not in alerts()


def test_many_departures_within_an_hour_are_told_of_once(
    world: World, alerts: Callable[[], list[str]]
) -> None:
    """The sixth suspension of an hour alerts, the seventh does not again."""
    tenants = [f"org_{number}" for number in range(7)]
    for tenant_id in tenants:
        accept(world).signup(signup(tenant_id), body_sha256="x", trace="t")
    world.run()
    for tenant_id in tenants:
        OperateTenant(world.control).suspend(tenant_id, trace="t")
    world.run()
    assert alerts().count("mass_suspended") == 1
