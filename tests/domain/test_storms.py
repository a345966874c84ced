"""Storms over many passes: late ones are told of, and what somebody cares for is left alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.finding import (
    REMIND_AFTER,
    STORM_WITHIN,
    Finding,
    FindingState,
    News,
    Severity,
    Sighting,
    storm_name,
)
from shared.domain.findings_pass import plan_pass, unique

KIND = "binding_missing"


def sighting(number: int, severity: Severity = Severity.WARNING) -> Sighting:
    return Sighting(KIND, f"db-{number}", severity, f"database {number} is not bound")


@dataclass(frozen=True)
class Told:
    """Hold one message: what of, why, when, and how bad and how many they were by then."""

    after: Finding
    news: News
    at: datetime


@dataclass
class History:
    """Let passes look, one after the other, and keep what they make of it."""

    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    kept: dict[str, Finding] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)

    def look(self, seen: Iterable[Sighting], *, compared: bool = True) -> None:
        """Run one pass; with `compared`, what it does not see is over."""
        todo = unique(seen)
        names = {one.fingerprint for one in todo}
        gone = {name: "gone" for name in self.kept if compared and name not in names}
        for change in plan_pass(self.kept, todo, gone, self.now):
            self.kept[change.after.fingerprint] = change.after
            if change.news is not None:
                self.told.append(Told(change.after, change.news, self.now))

    def wait(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def ack(self, number: int) -> None:
        name = sighting(number).fingerprint
        if name in self.kept:
            self.kept[name] = self.kept[name].acked(self.now)

    def news(self) -> list[tuple[News, int]]:
        """Return why messages were sent and of how many, and forget them."""
        found = [(one.news, one.after.members) for one in self.told]
        self.told.clear()
        return found


@pytest.fixture
def history() -> History:
    return History()


def test_what_joins_a_storm_late_is_told_of_when_the_burst_is_over(history: History) -> None:
    """Within the five minutes it waits; then the summary says once how many there are by now."""
    history.look(sighting(n) for n in range(10))
    history.wait(1)
    history.look(sighting(n) for n in range(13))
    assert history.news() == [(News.OPENED, 10)]
    history.wait(5)
    history.look([], compared=False)
    assert history.news() == [(News.WORSE, 13)]
    history.wait(6)
    history.look(sighting(n) for n in range(13))
    assert history.news() == []


def test_one_that_joined_late_and_left_again_is_no_news(history: History) -> None:
    """The summary counts what stands when it is told."""
    history.look(sighting(n) for n in range(10))
    history.wait(1)
    history.look(sighting(n) for n in range(11))
    history.wait(1)
    history.look(sighting(n) for n in range(10))
    history.wait(5)
    history.look(sighting(n) for n in range(10))
    assert history.news() == [(News.OPENED, 10)]


def test_a_storm_whose_members_are_all_cared_for_is_not_reminded_of(history: History) -> None:
    """To ack each of them is as good as to ack the summary; one that is open is a reason."""
    history.look(sighting(n) for n in range(10))
    for number in range(9):
        history.ack(number)
    history.wait(241)
    history.look(sighting(n) for n in range(10))
    assert history.news() == [(News.OPENED, 10), (News.REMINDER, 10)]
    history.ack(9)
    history.wait(241)
    history.look(sighting(n) for n in range(10))
    assert history.news() == []
    history.look([])
    assert history.news() == [(News.RESOLVED, 10)]


SPANS = st.builds(
    lambda first, size: range(first, first + size), st.integers(0, 9), st.integers(0, 14)
)
SEEN = st.builds(
    lambda span, odd: {n: odd if n % 5 == 0 else Severity.WARNING for n in span},
    SPANS,
    st.sampled_from(list(Severity)),
)
MINUTES = st.sampled_from([0.5, 2, 5, 30, 120, 241, 600])
PASS = st.tuples(SEEN, MINUTES, SPANS, st.booleans())


@settings(max_examples=200, deadline=None)
@given(st.lists(PASS, max_size=10))
def test_nothing_is_told_twice_and_nobody_is_reminded_of_what_they_care_for(
    passes: list[tuple[dict[int, Severity], float, range, bool]],
) -> None:
    """Whatever is seen and acked when: a message says something that the last one did not."""
    history = History()
    for seen, minutes, acks, compared in passes:
        history.look((sighting(n, severity) for n, severity in seen.items()), compared=compared)
        for number in acks:
            history.ack(number)
        history.wait(minutes)
    last: dict[str, Told] = {}
    for one in history.told:
        before = last.get(one.after.fingerprint)
        last[one.after.fingerprint] = one
        if before is None or before.news is News.RESOLVED:
            assert one.news is not News.RESOLVED
            continue
        waited = one.at - before.at
        match one.news:
            case News.OPENED:
                pytest.fail("opened twice without an end")
            case News.REMINDER:
                assert waited >= REMIND_AFTER
                assert one.after.state is not FindingState.ACKED
            case News.WORSE:
                more = one.after.members > 0 and waited >= STORM_WITHIN
                assert more or one.after.worst.rank > before.after.worst.rank


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(SPANS, st.sampled_from([0.5, 1, 2, 5])), min_size=1, max_size=6))
def test_a_summary_is_right_once_the_burst_is_over(
    passes: list[tuple[range, float]],
) -> None:
    """However they came, ten quiet minutes later people were told of every single one."""
    history = History()
    for span, minutes in passes:
        history.look((sighting(n) for n in span), compared=False)
        history.wait(minutes)
    history.wait(10)
    history.look([], compared=False)
    standing = [one for one in history.kept.values() if one.standing and not one.members]
    by_storm = [one for one in standing if not one.told]
    if not by_storm:
        return
    summaries = [one for one in history.told if one.after.fingerprint == storm_name(KIND)]
    assert summaries[-1].after.members >= len(by_storm)
