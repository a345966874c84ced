"""The breaker of deletes: what is due and what was done are weighed before the first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.breaker import (
    Breaker,
    Permit,
    Stopped,
    Trip,
    after_delete,
    deletes_allowed,
    weigh,
)

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


def test_too_many_are_stopped_before_the_first() -> None:
    """A hundred that are due at once trip the breaker while nothing is deleted yet."""
    verdict = weigh(Breaker(), due=100, usual=5, now=NOW)
    assert isinstance(verdict, Trip)
    assert "100 databases" in verdict.reason


@pytest.mark.parametrize(("done", "due", "passes"), [(0, 5, True), (3, 2, True), (3, 3, False)])
def test_what_was_done_counts_with_what_is_due(done: int, due: int, passes: bool) -> None:
    """A day has a most, however it is spread over the day."""
    breaker = Breaker(done={"2026-11-23T02": done})
    assert isinstance(weigh(breaker, due=due, usual=5, now=NOW), Permit) is passes


def test_yesterday_is_forgotten() -> None:
    """Deletes of more than a day ago weigh nothing and are dropped."""
    breaker = Breaker(done={"2026-11-22T11": 9, "2026-11-22T12": 1})
    assert breaker.recent(NOW) == 1
    assert after_delete(breaker, NOW) == {"2026-11-22T12": 1, "2026-11-23T12": 1}
    assert after_delete(Breaker(done={"2026-11-23T12": 1}), NOW) == {"2026-11-23T12": 2}


def test_an_open_breaker_stops_everything_until_a_person_confirms() -> None:
    """However little is due: who opened it does not close it."""
    reason = "looked wrong"
    assert weigh(Breaker(reason=reason), due=1, usual=5, now=NOW) == Stopped(reason)


def test_what_a_person_confirmed_may_go_within_the_day_and_no_more() -> None:
    """A reset allows exactly what was due then; the next wave trips it again."""
    confirmed = Breaker(allowed=100, allowed_until=NOW + timedelta(hours=24))
    assert isinstance(weigh(confirmed, due=100, usual=5, now=NOW), Permit)
    assert isinstance(weigh(confirmed, due=101, usual=5, now=NOW), Trip)
    later = NOW + timedelta(hours=25)
    assert isinstance(weigh(confirmed, due=6, usual=5, now=later), Trip)


@pytest.mark.parametrize(
    ("setting", "tenants", "most"), [(0, 0, 5), (0, 250, 5), (0, 1000, 20), (3, 1000, 3)]
)
def test_a_days_most_is_the_setting_or_suits_the_fleet(
    setting: int, tenants: int, most: int
) -> None:
    """Without a setting: five, or two in a hundred tenants if that is more."""
    assert deletes_allowed(setting, tenants) == most


@given(st.integers(0, 40), st.integers(1, 12))
def test_no_more_than_a_days_most_ever_go(due: int, most: int) -> None:
    """Deleting one after the other, each permitted, never exceeds the most of the window."""
    breaker, gone = Breaker(), 0
    for left in range(due, 0, -1):
        if not isinstance(weigh(breaker, due=left, usual=most, now=NOW), Permit):
            break
        breaker, gone = Breaker(done=after_delete(breaker, NOW)), gone + 1
    assert gone == (due if due <= most else 0)
