"""One chain of messages an entity: who may begin, who may wait, whose message is out of date."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.items import Change, database_of, tenant_of
from shared.aws.state import State
from shared.domain.database import DatabaseStatus
from shared.domain.tenant import TenantStatus
from shared.errors import Conflict

Race = Callable[[Callable[[int], Any]], list[Any]]


def committed(state: State, before: Any, after: Any) -> bool:
    """Commit a step; say whether it was ours that counted."""
    try:
        state.commit(Change(before, after))
    except Conflict:
        return False
    return True


def test_an_attempt_is_written_down_before_it_begins(state: State, world: Any) -> None:
    """Each beginning counts and says when, so that the sweep sees an attempt that was cut off."""
    world.stored(world.tenant())
    first = state.begin("TENANT", "org_1", None, world.later(5))
    assert first is not None
    assert tenant_of(first).attempts == 1
    second = state.begin("TENANT", "org_1", None, world.later(6))
    assert second is not None
    assert tenant_of(second).attempts == 2
    assert list(state.tenants(TenantStatus.PENDING, due_before=world.later(6))) == []
    assert len(list(state.tenants(TenantStatus.PENDING, due_before=world.later(7)))) == 1


@pytest.mark.parametrize("kind", ["TENANT", "DB"])
def test_nothing_is_attempted_on_what_nobody_knows(state: State, world: Any, kind: str) -> None:
    """A message about an unknown record begins nothing and stores nothing."""
    assert state.begin(kind, "nobody", None, world.now) is None
    assert world.items() == []


@pytest.mark.parametrize("status", [TenantStatus.ACTIVE, TenantStatus.CLOSED])
def test_nothing_is_attempted_on_what_is_settled(
    state: State, world: Any, status: TenantStatus
) -> None:
    """A late message about a settled tenant changes nothing."""
    settled = world.stored(world.tenant(status=status, routed_status=status))
    assert state.begin("TENANT", "org_1", None, world.now) is None
    assert state.tenant("org_1") == settled


def test_a_chain_goes_on_by_its_newest_token_alone(state: State, world: Any) -> None:
    """Each wait gives the next message a token; every earlier message is out of date."""
    world.stored(world.tenant())
    token: str | None = None
    old: list[str | None] = []
    for step in range(3):
        for stale in old:
            assert state.begin("TENANT", "org_1", stale, world.now) is None
        begun = state.begin("TENANT", "org_1", token, world.now)
        assert begun is not None
        record = tenant_of(begun)
        assert (record.attempts, record.failures) == (1, step)
        if token is not None:
            old.append(token)
        token = state.postpone(record, wake_at=world.later(60), failures=step + 1)
        assert token is not None
    waiting = state.tenant("org_1")
    assert waiting is not None
    assert (waiting.attempts, waiting.failures, waiting.token) == (0, 3, token)
    assert waiting.wake_at == world.later(60)
    assert waiting.version == 1


def test_a_message_without_a_token_always_begins(state: State, world: Any) -> None:
    """A fresh reason to look, or the sweep, joins a chain that waits; its next wait replaces it."""
    record = world.stored(world.tenant())
    first = state.postpone(record, wake_at=world.later(60), failures=0)
    begun = state.begin("TENANT", "org_1", None, world.now)
    assert begun is not None
    second = state.postpone(tenant_of(begun), wake_at=world.later(60), failures=0)
    assert state.begin("TENANT", "org_1", first, world.now) is None
    assert state.begin("TENANT", "org_1", second, world.now) is not None


def test_a_step_ends_the_chain(state: State, world: Any) -> None:
    """After a change the waits of before write nothing, and the next wait ends their messages."""
    record = world.stored(world.tenant())
    token = state.postpone(record, wake_at=world.later(60), failures=4)
    step = record.moved(TenantStatus.ACTIVATING, world.later(1))
    state.commit(Change(record, step))
    assert state.postpone(record, wake_at=world.later(60), failures=5) is None
    assert state.tenant("org_1") == step
    assert state.postpone(step, wake_at=world.later(60), failures=0) is not None
    assert state.begin("TENANT", "org_1", token, world.now) is None


def test_after_a_step_any_message_begins(state: State, world: Any) -> None:
    """While no chain is live a message of an earlier one is as good as any: none is lost for it."""
    record = world.stored(world.tenant())
    token = state.postpone(record, wake_at=world.later(60), failures=4)
    state.commit(Change(record, record.moved(TenantStatus.ACTIVATING, world.later(1))))
    assert state.begin("TENANT", "org_1", token, world.now) is not None


def test_a_wait_is_not_written_on_what_is_settled(state: State, world: Any) -> None:
    """Nothing wakes a record that is settled, so nothing is waited for either."""
    settled = world.stored(world.tenant(status=TenantStatus.ACTIVE))
    assert state.postpone(settled, wake_at=world.later(60), failures=0) is None
    assert state.tenant("org_1") == settled


def test_a_wait_may_write_down_what_was_learnt(state: State, world: Any) -> None:
    """Fields of the record go with the wait: here that a create may have committed."""
    record = world.stored(world.database(status=DatabaseStatus.CREATING, database_id=None))
    token = state.postpone(record, wake_at=world.later(9), failures=1, uncertain=True)
    begun = state.begin("DB", record.ulid, token, world.now)
    assert begun is not None
    assert database_of(begun).uncertain


def test_the_sweep_sees_a_wait_at_its_time(state: State, world: Any) -> None:
    """A record that waits is due when it wakes, not before."""
    record = world.stored(world.tenant())
    state.postpone(record, wake_at=world.later(300), failures=0)
    assert list(state.tenants(TenantStatus.PENDING, due_before=world.later(300))) == []
    assert len(list(state.tenants(TenantStatus.PENDING, due_before=world.later(301)))) == 1


def test_eight_messages_with_one_token_begin_eight_attempts_and_end_in_one_step(
    state: State, world: Any, race: Race
) -> None:
    """Duplicates may all begin, each is counted, and the version lets one of them make the step."""
    record = world.stored(world.tenant())
    token = state.postpone(record, wake_at=world.later(1), failures=0)

    def attempt(number: int) -> bool:
        begun = state.begin("TENANT", "org_1", token, world.now)
        if begun is None:
            return False
        before = tenant_of(begun)
        if before.status is not TenantStatus.PENDING:
            return False
        return committed(state, before, before.moved(TenantStatus.ACTIVATING, world.now))

    assert race(attempt).count(True) == 1
    after = state.tenant("org_1")
    assert after is not None
    assert (after.status, after.version) == (TenantStatus.ACTIVATING, 2)


def test_of_eight_that_wait_one_chain_is_live(state: State, world: Any, race: Race) -> None:
    """Many attempts may write a wait; exactly one of their tokens continues."""
    record = world.stored(world.tenant())
    tokens = race(lambda _: state.postpone(record, wake_at=world.later(1), failures=0))
    assert None not in tokens
    assert len(set(tokens)) == 8
    live = [t for t in tokens if state.begin("TENANT", "org_1", t, world.now) is not None]
    assert len(live) == 1
