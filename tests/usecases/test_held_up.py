"""Tenants that can't go on until a person acts: told once, looked at again, and nothing lost."""

import dataclasses
from collections.abc import Callable

import pytest

from shared.aws.items import Change
from shared.domain.backup import BackupStatus
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.outcomes import Outcome, RetryLater
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent
from shared.settings import Settings
from shared.usecases.attempts import MAX_ATTEMPTS
from shared.usecases.hold_up import hold_up
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.retry_tenant import RetryTenant
from shared.usecases.sweep import Sweep
from tests.usecases.killing import Killed
from tests.usecases.leaving import Prover, close, database_of, gone, live, on_d1, tenant_of
from tests.usecases.long_work import api, listen
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

D, S = DatabaseStatus, TenantStatus
HALF_AN_HOUR, TEN_MINUTES = 1800.0, 600.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


@pytest.fixture
def world(world: World) -> World:
    world.long_work["backup"] = Prover(world)
    return world


@pytest.fixture
def alerted(world: World) -> Callable[[], list[str]]:
    return listen(world)


def waits(outcome: Outcome | None) -> float:
    """Return how long an attempt waits; it must be one that waits."""
    assert isinstance(outcome, RetryLater)
    return outcome.after


def held(world: World, tenant: Tenant, what: str, reason: str = "why") -> float:
    """Hold a tenant up as an attempt does; return for how long."""
    return waits(hold_up(world.control, tenant, what, reason, "t"))


def closing(world: World) -> Tenant:
    """Return a tenant that closes, as soon as the directory cuts its access."""
    live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: tenant_of(world, "org_a").routed_status == S.CLOSING)
    return tenant_of(world, "org_a")


def swept(world: World, times: int) -> None:
    """Let hours pass in which nobody acts."""
    for _ in range(times):
        world.run()
        world.clock.pass_(hours=1)
        Sweep(world.control, world.outside)("sweep")
    world.run()


def test_one_trouble_alerts_once_whatever_its_words_are(
    world: World, alerted: Callable[[], list[str]]
) -> None:
    """The same kind of trouble again is no news; another one is, and so is the first after it."""
    tenant = closing(world)
    held(world, tenant, "stopped", "request 1 was refused")
    assert alerted() == ["tenant_held_up"]
    assert tenant_of(world, "org_a").held_up == "stopped: request 1 was refused"
    held(world, tenant_of(world, "org_a"), "stopped", "request 2 was refused")
    assert alerted() == []
    assert tenant_of(world, "org_a").held_up == "stopped: request 1 was refused"
    held(world, tenant_of(world, "org_a"), "cut off")
    assert alerted() == ["tenant_held_up"]
    assert tenant_of(world, "org_a").status is S.CLOSING


@pytest.mark.parametrize(("routed", "after"), [(True, HALF_AN_HOUR), (False, TEN_MINUTES)])
def test_who_may_still_get_in_is_looked_at_sooner(world: World, routed: bool, after: float) -> None:
    """Half an hour once the directory says what was decided, ten minutes before; each time."""
    tenant = closing(world)
    if not routed:
        unrouted = tenant.changed(world.clock(), routed_status=None)
        world.control.state.commit(Change(tenant, unrouted))
        tenant = unrouted
    for _ in range(2):
        assert held(world, tenant, "stopped") == after
        tenant = tenant_of(world, "org_a")
        assert tenant.wake_at is not None
        assert tenant.token is not None


def test_who_was_moved_meanwhile_is_read_again(
    world: World, alerted: Callable[[], list[str]]
) -> None:
    """A word that came between is not overwritten, and nobody is told of what is out of date."""
    tenant = closing(world)
    OperateTenant(world.control).resume("org_a", trace="t")
    hold_up(world.control, tenant, "stopped", "why", "t")
    resumed = tenant_of(world, "org_a")
    assert (resumed.status, resumed.held_up) == (S.ACTIVATING, None)
    assert alerted() == []


def test_ten_attempts_that_were_cut_off_hold_a_closing_up(
    world: World, alerted: Callable[[], list[str]]
) -> None:
    """What was decided stands: it closes still, and goes on with the next look."""
    live(world, "org_a")
    close(world, "org_a")
    world.queues.heap.clear()
    message = Message(kind="tenant", id="org_a", trace="t")
    for _ in range(MAX_ATTEMPTS):
        world.executioner.arm(1)
        with pytest.raises(Killed):
            world.deliver("work", message)
    world.executioner.arm(None)
    assert waits(world.deliver("work", message)) == TEN_MINUTES
    tenant = tenant_of(world, "org_a")
    assert (tenant.status, (tenant.held_up or "")[:9]) == (S.CLOSING, "cut off: ")
    assert alerted() == ["tenant_held_up"]
    gone(world, "org_a")
    assert alerted() == []


def test_a_refusal_that_stays_holds_a_suspension_up(
    world: World, alerted: Callable[[], list[str]]
) -> None:
    """Suspended it stays, though the directory can't be told; told at last, nothing is held up."""
    live(world, "org_a")
    OperateTenant(world.control).suspend("org_a", trace="t")

    def no_router() -> None:
        raise Permanent("the router's address is wrong")

    broken = dataclasses.replace(
        world, outside=dataclasses.replace(world.outside, router=no_router)
    )
    message = Message(kind="tenant", id="org_a", trace="t")
    for _ in range(2):
        assert waits(broken.deliver("work", message)) == TEN_MINUTES
    tenant = tenant_of(world, "org_a")
    assert tenant.held_up == "Permanent: the router's address is wrong"
    assert alerted() == ["tenant_held_up"]
    world.deliver("work", message)
    tenant = tenant_of(world, "org_a")
    assert (tenant.status, tenant.routed_status, tenant.held_up) == (S.SUSPENDED, S.SUSPENDED, None)


def test_a_database_deleted_by_hand_while_it_leaves_is_told_once(
    world: World, alerted: Callable[[], list[str]]
) -> None:
    """Nothing more is deleted: not the record, not the proof; a typed word ends the closing."""
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    api(world).d1.delete(tenant.database_id or "")
    swept(world, 3)
    stuck = tenant_of(world, "org_a")
    assert (stuck.status, stuck.past_no_return) == (S.CLOSING, False)
    assert f"D1 has no {tenant.database_name} any more" in (stuck.held_up or "")
    assert "--without-backup" in (stuck.held_up or "")
    assert alerted().count("tenant_held_up") == 1
    assert database_of(world, tenant).status is D.UNBINDING
    [backup] = world.control.state.backups_of("org_a")
    assert backup.status is BackupStatus.PROVEN
    close(world, "org_a", grace=None, without_backup=True)
    RetryTenant(world.control, world.outside)("org_a", "t")
    gone(world, "org_a")
    assert database_of(world, tenant).status is D.DELETED
    assert not on_d1(world, database_of(world, tenant))
    [receipt] = world.control.state.table.query("TENANT#org_a", prefix="RECEIPT#")
    assert receipt["without_backup"] is True
    assert status(world, "org_a") is S.CLOSED
