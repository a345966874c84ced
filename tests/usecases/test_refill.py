"""Refills: as many as are lacking, one look for many askers, and nothing lost by a kill."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.aws.pools import LEASE
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.settings import Settings
from shared.usecases.advance_tenant import AdvanceTenant
from shared.usecases.refill_pool import RefillPool
from tests.support.events import signup
from tests.usecases.killing import Killed
from tests.usecases.test_signup_path import accept
from tests.usecases.world import World

POOL = Message(kind="pool", id="weur")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 60})


def creating(world: World) -> list[str]:
    found = world.control.state.databases("weur", DatabaseStatus.CREATING)
    return sorted(database.ulid for database in found)


def woken(world: World) -> list[str]:
    return sorted(entry[3].id for entry in world.queues.heap if entry[3].kind == "database")


def test_one_message_begins_all_that_is_lacking(world: World) -> None:
    """What a pool lacks begins at once, each woken once, on as many shards as it takes."""
    RefillPool(world.control)(POOL)
    assert len(creating(world)) == 60
    assert woken(world) == creating(world)
    assert [room.used for room in world.control.pools.shards()] == [50, 10]


def test_who_asked_before_the_last_look_asks_for_nothing(world: World) -> None:
    """A look that began after a message was sent has seen what the message speaks of."""
    asked_at = world.control.now()
    world.clock.pass_(seconds=3)
    RefillPool(world.control, asked_at)(POOL)
    wished = world.control.settings.model_copy(update={"pool_target": 61})
    control = replace(world.control, settings=wished)
    RefillPool(control, asked_at)(POOL)
    assert len(creating(world)) == 60
    RefillPool(control, world.control.now())(POOL)
    assert len(creating(world)) == 61


def test_a_long_queue_is_no_lost_message(world: World) -> None:
    """Databases that wait for their turn are not woken again, however long it takes."""
    RefillPool(world.control)(POOL)
    world.clock.pass_(minutes=4)
    RefillPool(world.control)(POOL)
    assert woken(world) == creating(world)


def test_what_a_killed_refill_wrote_down_is_woken_by_the_next(world: World) -> None:
    """Killed between records and messages, a refill loses nothing."""
    effects = world.executioner.effects
    world.executioner.arm(None)
    RefillPool(world.control)(POOL)
    until_records = effects.index("dynamodb transact_write_items") + 1
    done = creating(world)
    world.queues.heap.clear()
    bigger = world.control.settings.model_copy(update={"pool_target": 70})
    control = replace(world.control, settings=bigger)
    world.executioner.arm(until_records)
    with pytest.raises(Killed):
        RefillPool(control)(POOL)
    world.executioner.arm(None)
    lost = sorted(set(creating(world)) - set(done))
    assert len(lost) == 10
    assert woken(world) == []
    RefillPool(control)(POOL)
    assert woken(world) == []  # the lease is the dead one's still
    world.clock.pass_(seconds=(LEASE + timedelta(seconds=1)).total_seconds())
    RefillPool(control)(POOL)
    assert set(lost) <= set(woken(world))
    assert len(creating(world)) == 70


def test_a_tenant_that_waits_asks_for_a_look_only_if_none_has_seen_it(world: World) -> None:
    """The first of many that wait has the pool counted; the others are in that count."""

    def asks(tenant_id: str) -> bool:
        world.queues.heap.clear()
        AdvanceTenant(world.control, world.outside)(Message(kind="tenant", id=tenant_id))
        return any(entry[3].kind == "pool" for entry in world.queues.heap)

    for number in range(2):
        event = signup(f"org_{number}")
        accept(world).signup(event, body_sha256="x", trace="t")
    assert asks("org_0")
    world.clock.pass_(seconds=3)
    RefillPool(world.control)(POOL)
    assert not asks("org_1")
    world.clock.pass_(seconds=61)
    assert asks("org_1")
