"""The budget that all functions share, on a real DynamoDB interface."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.budget import DynamoBudget
from shared.aws.table import Table
from shared.domain.budget import BudgetLimits, Lane
from shared.errors import NoPermit, Permanent, Transient

LIMITS = BudgetLimits.of(1200, 300, 0.8)
SMALL = BudgetLimits.of(20, 10, 0.8)


def taken(budget: DynamoBudget, lane: Lane, at_most: int = 1000) -> int:
    """Take until refused; return how often it worked."""
    for count in range(at_most):
        try:
            budget.take(lane)
        except NoPermit:
            return count
    return at_most


def test_a_bucket_is_emptied_and_fills_at_its_pace(table: Table, clock: Any) -> None:
    """A full bucket gives its burst at once, then one permit an interval."""
    budget = DynamoBudget(table, SMALL, clock)
    assert taken(budget, Lane.SIGNUP) == SMALL.burst
    clock.forward(0.833333)
    assert taken(budget, Lane.SIGNUP) == 0
    clock.forward(0.000001)
    assert taken(budget, Lane.SIGNUP) == 1
    clock.forward(10)
    assert taken(budget, Lane.SIGNUP) == SMALL.burst


def test_a_refusal_says_when_to_come_back(table: Table, clock: Any) -> None:
    """The wait a refusal names is exact."""
    budget = DynamoBudget(table, SMALL, clock)
    taken(budget, Lane.SIGNUP)
    with pytest.raises(NoPermit, match="lane signup has no tokens left") as refusal:
        budget.take(Lane.SIGNUP)
    assert refusal.value.retry_after == pytest.approx(0.833334)
    clock.forward(refusal.value.retry_after)
    budget.take(Lane.SIGNUP)


def test_several_permits_come_together_or_not_at_all(table: Table, clock: Any) -> None:
    """A take of three with two left takes none."""
    budget = DynamoBudget(table, SMALL, clock)
    budget.take(Lane.SIGNUP, 2)
    with pytest.raises(NoPermit):
        budget.take(Lane.SIGNUP, 3)
    budget.take(Lane.SIGNUP, 2)
    with pytest.raises(NoPermit):
        budget.take(Lane.SIGNUP)


def test_what_can_never_be_had_is_said_at_once(table: Table, clock: Any) -> None:
    """More than a lane's room is no reason to wait: the settings must change."""
    with pytest.raises(Permanent, match="raise API_LIMIT or API_SHARE"):
        DynamoBudget(table, SMALL, clock).take(Lane.REFILL, 3)


def test_a_lower_lane_leaves_the_reserve(table: Table, clock: Any) -> None:
    """A refill that takes all it can leaves a signup its half of the bucket, in another process."""
    refill, signup = (DynamoBudget(table, LIMITS, clock) for _ in range(2))
    assert taken(refill, Lane.REFILL) == 120
    assert taken(signup, Lane.MIGRATION) == 36
    assert taken(signup, Lane.SIGNUP) == 84


def test_processes_share_one_bucket(table: Table, clock: Any) -> None:
    """What one has taken another can't take, though it never looked before."""
    one, other = (DynamoBudget(table, SMALL, clock) for _ in range(2))
    one.take(Lane.SIGNUP, 4)
    with pytest.raises(NoPermit):
        other.take(Lane.SIGNUP)


def test_threads_never_take_more_than_there_is(table: Table, clock: Any) -> None:
    """Eight takers on an idle bucket get its burst, not one more, whoever comes first."""
    budgets = [DynamoBudget(table, LIMITS, clock) for _ in range(8)]

    def press(budget: DynamoBudget) -> int:
        count = 0
        while True:
            try:
                budget.take(Lane.SIGNUP)
            except NoPermit:
                return count
            count += 1

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(press, budgets)) == LIMITS.burst


def test_a_closed_budget_is_closed_for_all(table: Table, clock: Any) -> None:
    """What one process closes, every other finds closed, until the very instant."""
    one, other = (DynamoBudget(table, SMALL, clock) for _ in range(2))
    one.close(clock() + timedelta(seconds=300), "429 at list databases")
    with pytest.raises(NoPermit, match="429 at list databases") as refusal:
        other.take(Lane.SIGNUP)
    assert refusal.value.retry_after == 300
    clock.forward(300)
    other.take(Lane.SIGNUP)


def test_closing_is_never_shortened(table: Table, clock: Any) -> None:
    """A second, shorter closing leaves the longer one in place."""
    budget = DynamoBudget(table, SMALL, clock)
    budget.close(clock() + timedelta(seconds=300), "first")
    budget.close(clock() + timedelta(seconds=10), "second")
    clock.forward(299)
    with pytest.raises(NoPermit, match="first"):
        DynamoBudget(table, SMALL, clock).take(Lane.SIGNUP)


def test_a_close_between_look_and_take_wins(table: Table, clock: Any) -> None:
    """A process that last saw the budget open still gets no permit once another closed it."""
    one, other = (DynamoBudget(table, SMALL, clock) for _ in range(2))
    one.take(Lane.SIGNUP)
    other.close(clock() + timedelta(seconds=60), "429")
    with pytest.raises(NoPermit, match="429"):
        one.take(Lane.SIGNUP)


def test_cloudflares_count_lowers_the_budget_for_all(table: Table, clock: Any) -> None:
    """When others used the account's limit, what is left for everybody is what Cloudflare says."""
    one, other = (DynamoBudget(table, LIMITS, clock) for _ in range(2))
    one.take(Lane.SIGNUP)
    one.observe(remaining=10, reset_seconds=0)
    assert taken(other, Lane.SIGNUP) == 10
    one.observe(remaining=0, reset_seconds=30)
    clock.forward(30)
    assert taken(other, Lane.SIGNUP) == 0


def test_cloudflares_count_never_raises_the_budget(table: Table, clock: Any) -> None:
    """A generous header gives back nothing that was taken."""
    budget = DynamoBudget(table, SMALL, clock)
    taken(budget, Lane.SIGNUP)
    budget.observe(remaining=1000, reset_seconds=1, quota=1200)
    assert taken(budget, Lane.SIGNUP) == 0


def test_state_tells_people_how_it_stands(table: Table, clock: Any) -> None:
    """The report has each lane's room and use, and who closed the budget until when."""
    budget = DynamoBudget(table, LIMITS, clock)
    assert budget.state().closed_until is None
    budget.take(Lane.SIGNUP, 3)
    budget.take(Lane.REFILL)
    budget.close(clock() + timedelta(seconds=5), "429")
    closed = budget.state()
    assert closed.closed_until == clock() + timedelta(seconds=5)
    assert closed.closed_by == "429"
    assert {lane.left for lane in closed.lanes} == {0}
    clock.forward(5)
    lanes = {lane.lane: lane for lane in budget.state().lanes}
    assert (lanes[Lane.SIGNUP].used, lanes[Lane.REFILL].used, lanes[Lane.REPAIR].used) == (3, 1, 0)
    assert (lanes[Lane.SIGNUP].left, lanes[Lane.SIGNUP].most) == (240, 240)
    assert lanes[Lane.REFILL].most == 120


def test_without_storage_there_is_no_permit(
    table: Table, clock: Any, client_of: Callable[[str], Any]
) -> None:
    """When DynamoDB does not answer, every method says so; a permit is never assumed."""
    client = client_of("http://127.0.0.1:9")
    budget = DynamoBudget(Table(client, table.name), SMALL, clock)
    with pytest.raises(Transient, match="does not answer"):
        budget.take(Lane.SIGNUP)
    with pytest.raises(Transient, match="does not answer"):
        budget.close(clock(), "429")
    with pytest.raises(Transient, match="does not answer"):
        budget.observe(0, 10)
    with pytest.raises(Transient, match="does not answer"):
        budget.state()
    client.close()


def test_a_forgotten_budget_starts_anew(table: Table, clock: Any) -> None:
    """When the item is gone, a process that remembers it recovers at the time it remembers."""
    budget = DynamoBudget(table, SMALL, clock)
    budget.take(Lane.SIGNUP)
    table._client.delete_item(TableName=table.name, Key={"pk": "BUDGET", "sk": "META"})
    budget.take(Lane.SIGNUP)
    assert budget.state().lanes[0].left == SMALL.burst - 1
