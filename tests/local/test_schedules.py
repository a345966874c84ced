"""Schedules that fire by a clock."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest

from local.aws.deploy import Schedule
from local.functions import schedules

START = datetime(2026, 1, 1, tzinfo=UTC)


def schedule(expression: str, payload: str | None = '{"task":"sweep"}') -> Schedule:
    return Schedule("sweep", "reconcile", expression, payload, "arn:aws:events:rule")


@pytest.mark.parametrize(
    ("expression", "minutes"),
    [("rate(1 minute)", 1), ("rate(5 minutes)", 5), ("rate(2 hours)", 120), ("rate(1 day)", 1440)],
)
def test_a_rate_is_a_period(expression: str, minutes: int) -> None:
    """Rates of each unit that EventBridge has."""
    assert schedules.period(schedule(expression)) == timedelta(minutes=minutes)


def test_another_kind_of_schedule_is_refused_by_name() -> None:
    """What would never fire here is refused: the stack says so instead of starting."""
    with pytest.raises(schedules.BadSchedule, match=r"sweep: cron.* is neither"):
        schedules.period(schedule("cron(0 3 ? * MON *)"))


def test_a_time_of_day_fires_once_a_day() -> None:
    """At that time, today if it is still to come, and a day later again."""
    rule = schedule("cron(17 2 * * ? *)")
    timetable = schedules.Timetable([rule], START + timedelta(hours=2))
    assert timetable.wait(START + timedelta(hours=2)) == 17 * 60
    at = START + timedelta(hours=2, minutes=17)
    assert timetable.due(at) == [rule]
    assert timetable.wait(at) == 86400
    assert schedules.first(rule, at) == at + timedelta(days=1)


def test_a_schedule_fires_after_each_period() -> None:
    """Not at the start; then once a period; once also when the clock has leapt over several."""
    rule = schedule("rate(5 minutes)")
    timetable = schedules.Timetable([rule], START)
    assert timetable.due(START) == []
    assert timetable.wait(START) == 300
    assert timetable.due(START + timedelta(minutes=5)) == [rule]
    assert timetable.due(START + timedelta(minutes=9)) == []
    assert timetable.due(START + timedelta(minutes=31)) == [rule]
    assert timetable.wait(START + timedelta(minutes=31)) == 240


def test_a_function_is_given_the_rules_input() -> None:
    """The loop fires the function with its input, by the clock that it is given."""
    times = iter([START, START, START + timedelta(minutes=5), START + timedelta(minutes=5)])
    stopping = Skipped()
    fired: list[tuple[str, bytes]] = []

    def invoke(function: str, payload: bytes) -> None:
        fired.append((function, payload))
        stopping.set()

    schedules.run(
        [schedule("rate(5 minutes)")],
        invoke=invoke,
        stopping=stopping,
        now=lambda: next(times, START + timedelta(minutes=5)),
    )
    assert fired == [("reconcile", b'{"task":"sweep"}')]


class Skipped(threading.Event):
    """An event whose waits are over at once: the clock is the test's."""

    def wait(self, _timeout: float | None = None) -> bool:
        return self.is_set()


def test_without_an_input_the_event_is_eventbridges() -> None:
    """The function gets the documented scheduled event."""
    event = json.loads(schedules.payload(schedule("rate(1 day)", None), START))
    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert event["time"] == "2026-01-01T00:00:00Z"
    assert event["resources"] == ["arn:aws:events:rule"]
