"""The arithmetic of the API budget, and what holds for every sequence of calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.budget import (
    FRESH,
    AddTo,
    BudgetLimits,
    BudgetState,
    Lane,
    Refuse,
    StartAt,
    decide,
    from_micros,
    lowered_full_at,
    to_micros,
    tokens_left,
)

SECOND = 1_000_000
START = 1_700_000_000 * SECOND

limits_of_any_size = st.builds(
    BudgetLimits.of,
    limit=st.integers(5, 5000),
    window_seconds=st.integers(1, 600),
    share=st.sampled_from([0.4, 0.5, 0.8, 0.95, 1]),
)
small_limits = st.builds(
    BudgetLimits.of,
    limit=st.integers(5, 60),
    window_seconds=st.integers(1, 30),
    share=st.sampled_from([0.4, 0.5, 0.8, 1]),
)
arrivals = st.lists(
    st.tuples(st.integers(0, 3 * SECOND), st.sampled_from(Lane), st.integers(1, 3)), max_size=120
)


def apply(
    limits: BudgetLimits, state: BudgetState, lane: Lane, n: int, now: int
) -> tuple[BudgetState, bool]:
    """Return the state after a take, and whether it was granted."""
    match decide(limits, state, lane, n, now):
        case StartAt(full_at):
            return BudgetState(full_at, state.closed_until), True
        case AddTo(amount, at_most):
            assert state.full_at <= at_most
            return BudgetState(state.full_at + amount, state.closed_until), True
        case Refuse():
            return state, False


def busiest(grants: list[tuple[int, int]], window: int) -> int:
    """Return the most calls granted in any closed window of this length."""
    return max(
        (sum(n for at, n in grants if start <= at <= start + window) for start, _ in grants),
        default=0,
    )


@given(limits_of_any_size)
def test_bucket_and_pace_fit_the_share_of_the_limit(limits: BudgetLimits) -> None:
    """For every limit, window and share, a full bucket and a window's gain are within the share."""
    assert limits.burst >= 1
    assert limits.burst + limits.window // limits.interval <= limits.allowed <= limits.limit


@pytest.mark.parametrize(
    ("limit", "window", "share", "burst", "interval"),
    [
        (1200, 300, 0.8, 240, 416_667),
        (20, 10, 0.8, 4, 833_334),
        (20, 10, 1, 5, 666_667),
        (5, 1, 0.4, 1, SECOND),
    ],
)
def test_known_divisions(limit: int, window: int, share: float, burst: int, interval: int) -> None:
    """A quarter of the share may go at once; the rest is spread over the window."""
    limits = BudgetLimits.of(limit, window, share)
    assert (limits.burst, limits.interval) == (burst, interval)


def test_a_share_is_read_as_it_was_written() -> None:
    """A share of 0.29 of 100 calls is 29 calls, not the 28 of binary fractions."""
    assert BudgetLimits.of(100, 10, 0.29).allowed == 29


def test_a_share_without_calls_is_refused() -> None:
    """A share that leaves less than two calls says which settings to change."""
    with pytest.raises(ValueError, match=r"API_SHARE 0\.1 of API_LIMIT 10 leaves 1 calls"):
        BudgetLimits.of(10, 10, 0.1)


@given(small_limits, arrivals)
def test_no_window_sees_more_than_the_share(
    limits: BudgetLimits, calls: list[tuple[int, Lane, int]]
) -> None:
    """Whatever arrives when, in no window are more calls granted than the share allows."""
    state, now, grants = FRESH, START, []
    for gap, lane, n in calls:
        now += gap
        if n > limits.most(lane):
            continue
        state, granted = apply(limits, state, lane, n, now)
        if granted:
            grants.append((now, n))
    assert busiest(grants, limits.window) <= limits.allowed


@given(limits_of_any_size, st.lists(st.tuples(st.integers(0, SECOND), st.sampled_from(Lane))))
def test_a_lower_lane_leaves_the_reserve_of_the_higher_ones(
    limits: BudgetLimits, calls: list[tuple[int, Lane]]
) -> None:
    """However hard the lower lanes press, a higher lane's reserve is still there to be taken."""
    for lane in Lane:
        state, now = FRESH, START
        for gap, other in calls:
            now += gap
            if list(Lane).index(other) > list(Lane).index(lane):
                state, _ = apply(limits, state, other, 1, now)
        others = [o for o in Lane if list(Lane).index(o) > list(Lane).index(lane)]
        kept = min((limits.reserve(o) for o in others), default=0) - limits.reserve(lane)
        assert tokens_left(limits, state, lane, now) >= kept


@given(limits_of_any_size)
def test_each_lane_gets_something_and_a_higher_one_never_less(limits: BudgetLimits) -> None:
    """Every lane can take at least one call, and no lane has more room than one above it."""
    rooms = [limits.most(lane) for lane in Lane]
    assert rooms[0] == limits.burst
    assert rooms == sorted(rooms, reverse=True)
    assert rooms[-1] >= 1


@given(small_limits, arrivals, st.sampled_from(Lane))
def test_waiting_as_told_is_enough(
    limits: BudgetLimits, calls: list[tuple[int, Lane, int]], lane: Lane
) -> None:
    """Whoever comes back after the time that a refusal names gets the permit, if alone."""
    state, now = FRESH, START
    for gap, other, n in calls:
        now += gap
        if n <= limits.most(other):
            state, _ = apply(limits, state, other, n, now)
    match decide(limits, state, lane, 1, now):
        case Refuse(wait):
            assert wait > 0
            assert isinstance(decide(limits, state, lane, 1, now + wait - 1), Refuse)
            assert not isinstance(decide(limits, state, lane, 1, now + wait), Refuse)
        case _:
            assert tokens_left(limits, state, lane, now) >= 1


@given(small_limits, arrivals, st.sampled_from(Lane))
def test_tokens_left_is_what_can_be_taken(
    limits: BudgetLimits, calls: list[tuple[int, Lane, int]], lane: Lane
) -> None:
    """The number shown to people is the number of takes that succeed at that instant."""
    state, now = FRESH, START
    for gap, other, n in calls:
        now += gap
        if n <= limits.most(other):
            state, _ = apply(limits, state, other, n, now)
    left = tokens_left(limits, state, lane, now)
    taken = 0
    while True:
        state, granted = apply(limits, state, lane, 1, now)
        if not granted:
            break
        taken += 1
    assert taken == left


def test_a_closed_budget_refuses_everybody_and_says_why() -> None:
    """While closed no lane gets a permit; at the named instant it opens."""
    limits = BudgetLimits.of(1200, 300, 0.8)
    state = BudgetState(closed_until=START + 5 * SECOND, closed_by="429")
    assert decide(limits, state, Lane.SIGNUP, 1, START) == Refuse(5 * SECOND, "429")
    assert tokens_left(limits, state, Lane.SIGNUP, START) == 0
    assert isinstance(decide(limits, state, Lane.SIGNUP, 1, START + 5 * SECOND), StartAt)


def test_more_than_fits_is_a_mistake_of_the_caller() -> None:
    """Asking for more at once than a lane can ever have is an error, not a wait without end."""
    limits = BudgetLimits.of(1200, 300, 0.8)
    with pytest.raises(ValueError, match="121 calls at once: lane refill can take 1 to 120"):
        decide(limits, FRESH, Lane.REFILL, 121, START)


@given(small_limits, arrivals)
def test_our_own_calls_never_lower_the_budget(
    limits: BudgetLimits, calls: list[tuple[int, Lane, int]]
) -> None:
    """If nobody else calls, what Cloudflare says of its window leaves the bucket as it is."""
    state, now, grants, window_end = FRESH, START, [], START + limits.window
    for gap, lane, n in calls:
        now += gap
        while now >= window_end:
            window_end += limits.window
            grants = []
        if n > limits.most(lane):
            continue
        state, granted = apply(limits, state, lane, n, now)
        if not granted:
            continue
        grants.append(n)
        floor = lowered_full_at(
            limits,
            remaining=limits.limit - sum(grants),
            reset=window_end - now,
            quota=limits.limit,
            now=now,
        )
        assert floor <= state.full_at


@given(
    small_limits,
    st.integers(0, 100),
    st.integers(0, 700 * SECOND),
    st.lists(st.tuples(st.integers(0, SECOND), st.sampled_from(Lane)), max_size=150),
)
def test_never_more_than_cloudflare_says_is_left(
    limits: BudgetLimits, remaining: int, reset: int, calls: list[tuple[int, Lane]]
) -> None:
    """After a header that says so many are left, no more are granted before the window's reset."""
    reset = min(reset, limits.window)
    floor = lowered_full_at(limits, remaining=remaining, reset=reset, quota=None, now=START)
    state, now, granted = BudgetState(full_at=max(START, floor)), START, 0
    for gap, lane in calls:
        now += gap
        if now > START + reset:
            break
        state, yes = apply(limits, state, lane, 1, now)
        granted += yes
    assert granted <= remaining


def test_an_absurd_reset_closes_for_no_longer_than_a_window() -> None:
    """A header that names a reset in a thousand years lowers the budget for one window only."""
    limits = BudgetLimits.of(20, 10, 0.8)
    floor = lowered_full_at(limits, remaining=0, reset=10**18, quota=20, now=START)
    assert floor == START + limits.burst * limits.interval + limits.window


def test_instants_survive_the_way_through_microseconds() -> None:
    """Microseconds since the epoch name the very same instant."""
    assert to_micros(from_micros(START + 123_457)) == START + 123_457
    assert from_micros(0).isoformat() == "1970-01-01T00:00:00+00:00"
