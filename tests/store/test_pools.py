"""Pools: one refill at a time, no wish forgotten, no shard fuller than it may be."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.items import Change, slot_put
from shared.aws.pools import LEASE, Lease, Pools
from shared.aws.state import State
from shared.domain.database import DatabaseStatus
from shared.domain.worker import Slot
from shared.errors import Conflict

Race = Callable[[Callable[[int], Any]], list[Any]]


def leased(pools: Pools, world: Any, after: float = 0) -> Lease:
    lease = pools.lease("weur", world.later(after))
    assert lease is not None
    return lease


def test_a_class_is_refilled_by_one_at_a_time(pools: Pools, world: Any) -> None:
    """The lease is had by one, is had again after it is let go, and is one a class."""
    lease = leased(pools, world)
    assert pools.lease("weur", world.later(1)) is None
    assert pools.lease("eu", world.now) is not None
    assert pools.release(lease, [])
    assert pools.lease("weur", world.later(2)) is not None


def test_a_lease_of_a_killed_refill_runs_out(pools: Pools, world: Any) -> None:
    """After its time somebody else has it, and the one who comes back late can't let it go."""
    late = leased(pools, world)
    over = LEASE.total_seconds()
    assert pools.lease("weur", world.later(over)) is None
    current = leased(pools, world, over + 0.001)
    assert not pools.release(late, ["LATE"])
    assert pools.lease("weur", world.later(over + 1)) is None
    assert pools.release(current, ["MINE"])
    assert leased(pools, world, over + 2).recent == ("MINE",)


def test_eight_that_want_to_refill_are_one_that_does(pools: Pools, world: Any, race: Race) -> None:
    """Of eight at the same instant exactly one gets the lease."""
    leases = race(lambda _: pools.lease("weur", world.now))
    assert sum(lease is not None for lease in leases) == 1


def test_a_wish_made_meanwhile_is_not_forgotten(pools: Pools, world: Any) -> None:
    """Whoever asks while a refill is under way makes it look again before it lets go."""
    pools.ask("weur")
    lease = leased(pools, world)
    assert lease.wanted == 1
    pools.ask("weur")
    pools.ask("weur")
    assert not pools.release(lease, [])
    again = pools.wanted(lease)
    assert (again.wanted, again.token) == (3, lease.token)
    assert pools.release(again, [])


def test_every_wish_counts(pools: Pools, world: Any, race: Race) -> None:
    """Eight that ask at once raise the count by eight."""
    race(lambda _: pools.ask("weur"))
    assert leased(pools, world).wanted == 8


def test_what_was_begun_is_handed_to_the_next_refill(pools: Pools, world: Any) -> None:
    """The indexes may not show yet what the last refill began: it says so itself."""
    assert leased(pools, world).recent == ()
    lease = pools.lease("eu", world.now)
    assert lease is not None
    assert pools.release(lease, ["A", "B"])
    again = pools.lease("eu", world.later(1))
    assert again is not None
    assert again.recent == ("A", "B")


def test_a_blocked_class_says_why_and_since_when(pools: Pools, world: Any) -> None:
    """The last reason stands until it is taken away; other classes are not touched."""
    assert pools.blocked("weur") is None
    pools.unblock("weur")
    pools.block("weur", "the account is full", world.now)
    pools.block("weur", '0002_notes.sql: near "selec"', world.later(60))
    blocked = pools.blocked("weur")
    assert blocked is not None
    assert (blocked.reason, blocked.since) == ('0002_notes.sql: near "selec"', world.later(60))
    assert pools.blocked("eu") is None
    pools.unblock("weur")
    assert pools.blocked("weur") is None


def test_a_block_leaves_the_lease_alone(pools: Pools, world: Any) -> None:
    """A pool is blocked and unblocked under a refill without ending it."""
    lease = leased(pools, world)
    pools.block("weur", "x", world.now)
    pools.unblock("weur")
    assert pools.release(lease, [])


def test_shards_come_in_their_order(state: State, pools: Pools) -> None:
    """The tenth shard comes after the ninth, and a shard is opened once."""
    for number in (10, 1, 9, 2):
        state.commit(also=[Pools.new_shard(f"f-pool-{number}", number)])
    assert [room.number for room in pools.shards()] == [1, 2, 9, 10]
    with pytest.raises(Conflict, match="shard is new"):
        state.commit(also=[Pools.new_shard("f-pool-9", 9)])


def test_slots_are_taken_while_there_is_room(state: State, pools: Pools) -> None:
    """The last slot is given, the one after it is not, and never a part of what was asked."""
    state.commit(also=[Pools.new_shard("f-pool-1", 1)])
    state.commit(also=[Pools.take_slots("f-pool-1", 3, 5)])
    for count in (3, 6):
        with pytest.raises(Conflict, match="the shard has room"):
            state.commit(also=[Pools.take_slots("f-pool-1", count, 5)])
    state.commit(also=[Pools.take_slots("f-pool-1", 2, 5)])
    assert [room.used for room in pools.shards()] == [5]


def test_a_shard_that_nobody_opened_has_no_room(state: State, world: Any) -> None:
    """Slots of an unknown shard are refused, and the shard is not born by it."""
    with pytest.raises(Conflict, match="the shard has room"):
        state.commit(also=[Pools.take_slots("f-pool-7", 1, 5)])
    assert world.items() == []


def test_a_lower_capacity_stops_a_shard_that_is_over_it(state: State, pools: Pools) -> None:
    """After the setting was lowered nothing more is taken, and nothing breaks."""
    state.commit(
        also=[
            Pools.new_shard("f-pool-1", 1),
        ]
    )
    state.commit(also=[Pools.take_slots("f-pool-1", 5, 5)])
    with pytest.raises(Conflict, match="the shard has room"):
        state.commit(also=[Pools.take_slots("f-pool-1", 1, 2)])
    assert [room.used for room in pools.shards()] == [5]


def test_eight_that_fill_a_shard_never_overfill_it(
    state: State, pools: Pools, world: Any, race: Race
) -> None:
    """Slots are taken in the transaction of their records: the counter, records and slots agree."""
    capacity = 10
    state.commit(also=[Pools.new_shard("f-pool-1", 1)])

    def fill(thread: int) -> int:
        begun = 0
        for step in range(3):
            database = world.database(10 * thread + step, status=DatabaseStatus.CREATING)
            slot = slot_put("f-pool-1", Slot(ulid=database.ulid, binding=database.binding))
            taken = Pools.take_slots("f-pool-1", 1, capacity)
            try:
                state.commit(Change(None, database), also=[taken, slot])
            except Conflict:
                continue
            begun += 1
        return begun

    assert sum(race(fill)) == capacity
    assert [room.used for room in pools.shards()] == [capacity]
    assert len(state.slots("f-pool-1")) == capacity
    assert state.count_databases("weur", DatabaseStatus.CREATING) == capacity
