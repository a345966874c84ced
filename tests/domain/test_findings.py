"""The life of a finding, and what people hear of it, over any history of passes."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.finding import (
    REMIND_AFTER,
    STORM,
    Finding,
    FindingState,
    News,
    Severity,
    Sighting,
    remind,
    resolve,
    see,
    storm_name,
)
from shared.domain.findings_pass import Kept, plan_pass, unique

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sighting(
    number: int = 1, severity: Severity = Severity.WARNING, kind: str = "binding_missing"
) -> Sighting:
    return Sighting(kind, f"db-{number}", severity, f"database {number} is not bound")


def told(finding: Finding, at: datetime = NOW) -> Finding:
    return finding.notified(at)


def opened(severity: Severity = Severity.WARNING) -> Finding:
    return told(see(None, sighting(severity=severity), NOW).finding)


def after(plan: list[Kept], kept: dict[str, Finding] | None = None) -> dict[str, Finding]:
    return {**(kept or {}), **{change.after.fingerprint: change.after for change in plan}}


def news(plan: list[Kept]) -> list[News]:
    return [change.news for change in plan if change.news is not None]


def test_severities_are_ordered() -> None:
    """What is worse has the higher rank."""
    assert sorted(Severity, key=lambda each: each.rank) == ["info", "warning", "error", "critical"]


def test_what_was_told_again_is_reminded() -> None:
    """Who was left out of the first message may have heard of it since; a new opening is new."""
    assert not see(None, sighting(), NOW).finding.reminded
    assert not opened().reminded
    again = told(opened(), NOW + REMIND_AFTER)
    assert again.reminded
    over = resolve(again, NOW + 2 * REMIND_AFTER, "mended").finding
    assert over.reminded
    anew = see(over, sighting(), NOW + 3 * REMIND_AFTER).finding
    assert not told(anew, NOW + 3 * REMIND_AFTER).reminded


def test_the_text_may_change_the_fingerprint_stays() -> None:
    """A finding is known by kind and subject."""
    other = Sighting("binding_missing", "db-1", Severity.ERROR, "another text")
    assert sighting().fingerprint == other.fingerprint != sighting(2).fingerprint
    assert sighting().fingerprint != sighting(kind="schema_drift").fingerprint


def test_the_first_sighting_opens() -> None:
    """It is news; first and last seen are now."""
    step = see(None, sighting(), NOW)
    assert step.news is News.OPENED
    found = step.finding
    assert (found.state, found.sightings, found.version) == (FindingState.OPEN, 1, 1)
    assert found.first_seen == found.last_seen == NOW


def test_what_stands_is_no_news_for_four_hours() -> None:
    """Sightings are counted; after four hours people are reminded."""
    found = opened()
    step = see(found, sighting(), NOW + HOUR)
    assert (step.news, step.finding.sightings, step.finding.first_seen) == (None, 2, NOW)
    assert see(found, sighting(), NOW + REMIND_AFTER).news is News.REMINDER
    assert remind(found, NOW + REMIND_AFTER).news is News.REMINDER
    assert remind(found, NOW + HOUR).finding is found


def test_worse_is_told_at_once_and_once() -> None:
    """A higher severity than ever in this opening is news; back and forth is not."""
    found = opened()
    worse = see(found, sighting(severity=Severity.ERROR), NOW + HOUR)
    assert worse.news is News.WORSE
    better = see(told(worse.finding, NOW + HOUR), sighting(), NOW + HOUR)
    assert (better.news, better.finding.severity) == (None, Severity.WARNING)
    assert see(better.finding, sighting(severity=Severity.ERROR), NOW + HOUR).news is None


def test_an_acked_finding_is_not_reminded_of() -> None:
    """Somebody cares; it is told when it gets worse, and when it ends."""
    found = opened().acked(NOW)
    assert found.state is FindingState.ACKED
    assert found.acked(NOW + HOUR) is found
    assert see(found, sighting(), NOW + 9 * HOUR).news is None
    assert remind(found, NOW + 9 * HOUR).news is None
    worse = see(found, sighting(severity=Severity.CRITICAL), NOW + HOUR)
    assert (worse.news, worse.finding.state) == (News.WORSE, FindingState.ACKED)
    assert resolve(found, NOW, "gone").news is News.RESOLVED


def test_it_ends_once() -> None:
    """The end is told if the beginning was; what ended stays so."""
    ended = resolve(opened(), NOW + HOUR, "bound again")
    assert (ended.news, ended.finding.resolved_why) == (News.RESOLVED, "bound again")
    assert resolve(ended.finding, NOW + HOUR, "again").finding is ended.finding
    assert resolve(see(None, sighting(), NOW).finding, NOW, "gone").news is None


def test_seen_again_it_opens_anew() -> None:
    """A new opening, with nothing of the last but the version that guards its write."""
    ended = resolve(opened(Severity.CRITICAL).acked(NOW), NOW, "gone").finding
    again = see(ended, sighting(), NOW + HOUR)
    assert again.news is News.OPENED
    assert again.finding.version == ended.version + 1
    assert (again.finding.first_seen, again.finding.sightings) == (NOW + HOUR, 1)
    assert (again.finding.worst, again.finding.told) == (Severity.WARNING, False)
    assert again.finding.resolved_at is again.finding.acked_at is None


def test_one_sighting_counts_for_each_finding() -> None:
    """Whoever sees a thing twice in a pass saw its worse half."""
    both = [sighting(), sighting(severity=Severity.ERROR), sighting(2)]
    assert [(each.subject, each.severity) for each in unique(both)] == [
        ("db-1", "error"),
        ("db-2", "warning"),
    ]


def test_nine_are_told_one_by_one() -> None:
    """Below ten, each has its own message and its own end."""
    plan = plan_pass({}, [sighting(number) for number in range(STORM - 1)], {}, NOW)
    assert news(plan) == [News.OPENED] * 9
    kept = after(plan)
    ends = plan_pass(kept, [], dict.fromkeys(kept, "gone"), NOW + HOUR)
    assert news(ends) == [News.RESOLVED] * 9


def test_two_hundred_make_one_summary_and_one_end() -> None:
    """The summary says how many and names some; reminders and the end are one message, too."""
    plan = plan_pass({}, [sighting(number) for number in range(200)], {}, NOW)
    assert news(plan) == [News.OPENED]
    summary = plan[-1].after
    assert (summary.fingerprint, summary.members) == (storm_name("binding_missing"), 200)
    assert "200 findings" in summary.summary
    assert "database 0 is not bound" in summary.summary
    kept = after(plan)
    again = plan_pass(kept, [sighting(number) for number in range(200)], {}, NOW + HOUR)
    assert news(again) == []
    assert len(again) == 200
    assert news(plan_pass(kept, [], {}, NOW + REMIND_AFTER)) == [News.REMINDER]
    some = dict.fromkeys([name for name in kept if name != summary.fingerprint][:150], "gone")
    half = plan_pass(kept, [], some, NOW + HOUR)
    assert (news(half), half[-1].after.members) == ([], 50)
    kept = after(half, kept)
    rest = plan_pass(kept, [], dict.fromkeys(kept, "gone"), NOW + 2 * HOUR)
    assert news(rest) == [News.RESOLVED]
    assert rest[-1].after.resolved_why == "none of them is left"
    assert not any(one.standing for one in after(rest, kept).values())


def test_a_kind_has_storms_of_its_own() -> None:
    """Five of one kind and five of another are ten messages."""
    seen = [sighting(number, kind=kind) for number in range(5) for kind in ("a", "b")]
    assert news(plan_pass({}, seen, {}, NOW)) == [News.OPENED] * 10


def test_ten_within_five_minutes_are_a_storm_over_several_passes() -> None:
    """Six and six: the first are told, the rest in a summary; what follows soon joins it later."""
    first = after(plan_pass({}, [sighting(number) for number in range(6)], {}, NOW))
    soon = NOW + timedelta(minutes=2)
    second = plan_pass(first, [sighting(number) for number in range(6, 12)], {}, soon)
    assert news(second) == [News.OPENED]
    kept = after(second, first)
    third = plan_pass(kept, [sighting(20)], {}, soon + timedelta(minutes=1))
    assert news(third) == []
    late = plan_pass(after(third, kept), [sighting(21)], {}, soon + HOUR)
    assert news(late) == [News.OPENED, News.WORSE]
    assert late[-1].after.members == 7


def test_another_burst_is_news_of_the_same_storm() -> None:
    """Ten more, hours later, are told in one message."""
    kept = after(plan_pass({}, [sighting(number) for number in range(20)], {}, NOW))
    burst = [sighting(number) for number in range(20, 40)]
    later = plan_pass(kept, burst, {}, NOW + HOUR)
    assert news(later) == [News.WORSE]
    assert later[-1].after.members == 40


def test_one_of_a_storm_that_gets_worse_is_told_by_itself() -> None:
    """It leaves the storm: its end is told by itself, too."""
    kept = after(plan_pass({}, [sighting(number) for number in range(20)], {}, NOW))
    worse = plan_pass(kept, [sighting(3, Severity.CRITICAL)], {}, NOW + HOUR)
    assert news(worse) == [News.WORSE]
    assert worse[-1].after.members == 19
    one = worse[0].after
    assert (one.subject, one.storm, one.told) == ("db-3", None, True)
    kept = after(worse, kept)
    end = plan_pass(kept, [], {one.fingerprint: "gone"}, NOW + 2 * HOUR)
    assert news(end) == [News.RESOLVED]


def test_what_was_written_and_never_told_is_told_by_the_next_pass() -> None:
    """A pass that was killed before its summary leaves findings that name it; it is made up for."""
    plan = plan_pass({}, [sighting(number) for number in range(30)], {}, NOW)
    kept = after(plan[:12])
    assert news(plan_pass(kept, [], {}, NOW + HOUR)) == [News.OPENED]
    whole = plan_pass(kept, [sighting(number) for number in range(30)], {}, NOW + HOUR)
    assert news(whole) == [News.OPENED]
    assert whole[-1].after.members == 30


SUBJECTS = st.integers(0, 24)
SEEN = st.dictionaries(SUBJECTS, st.sampled_from(list(Severity)), max_size=25)
PASS = st.tuples(
    st.sampled_from([1, 3, 30, 130, 250]),  # minutes since the last one
    SEEN,
    st.one_of(st.none(), st.integers(0, 30)),  # killed after so many writes
    st.booleans(),  # whether it compared the kind, or only told of what it met
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PASS, max_size=12))
def test_any_history_tells_each_opening_once_and_each_end_once(passes: list[Any]) -> None:
    """Whatever passes see, and wherever they are killed: nothing untold, nothing told twice."""
    kept: dict[str, Finding] = {}
    messages: dict[str, list[tuple[News, datetime]]] = defaultdict(list)
    now = NOW
    for minutes, seen, killed, compared in [*passes, (1, {}, None, True)]:
        now += timedelta(minutes=minutes)
        sightings = [sighting(number, severity) for number, severity in seen.items()]
        names = {each.fingerprint for each in sightings}
        gone = {name: "gone" for name in kept if compared and name not in names}
        plan = plan_pass(kept, sightings, gone, now)
        single = Counter(change.news for change in plan if change.news and not change.after.members)
        assert single[News.OPENED] + single[News.WORSE] + single[News.REMINDER] < STORM
        for change in plan[:killed]:
            kept[change.after.fingerprint] = change.after
            if change.news is not None:
                messages[change.after.fingerprint].append((change.news, now))
        if killed is None:
            storm = kept.get(storm_name("binding_missing"))
            for one in kept.values():
                by_storm = one.storm is not None and storm is not None and storm.standing
                assert not one.standing or one.told or by_storm
    assert not any(one.standing for one in kept.values())
    for heard in messages.values():
        _check(heard)


def _check(heard: list[tuple[News, datetime]]) -> None:
    """One opening, no two messages within four hours unless worse, one end."""
    last: datetime | None = None
    for what, at in heard:
        match what:
            case News.RESOLVED:
                assert last is not None
                last = None
            case News.OPENED:
                assert last is None
                last = at
            case News.REMINDER:
                assert last is not None
                assert at - last >= REMIND_AFTER
                last = at
            case News.WORSE:
                last = at
    assert last is None


@pytest.mark.parametrize("state", ["open", "acked"])
def test_a_finding_survives_the_table(state: str) -> None:
    """What is written is what is read."""
    found = opened().model_copy(update={"state": FindingState(state)})
    assert Finding.model_validate(found.model_dump(exclude_none=True)) == found
