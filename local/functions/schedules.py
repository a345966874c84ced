"""Fire the template's schedules by the clock, as EventBridge does.

A rate fires first after one period; of cron expressions those are known that name a time of day.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from local.aws.deploy import Schedule
from local.aws.template import REGION

__all__ = ["BadSchedule", "Timetable", "first", "period", "run"]

_RATE: Final = re.compile(r"rate\((\d+) (minute|hour|day)s?\)")
_UNITS: Final = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}


_DAILY: Final = re.compile(r"cron\((\d{1,2}) (\d{1,2}) \* \* \? \*\)")


class BadSchedule(Exception):  # noqa: N818
    """Say which schedule can't be understood."""


def period(schedule: Schedule) -> timedelta:
    """Return the period of a schedule.

    Raises:
        BadSchedule: it is neither a `rate(…)` nor a `cron(…)` of a time of day.
    """
    if _DAILY.fullmatch(schedule.expression):
        return timedelta(days=1)
    found = _RATE.fullmatch(schedule.expression)
    if found is None:
        raise BadSchedule(
            f"{schedule.name}: {schedule.expression} is neither a rate(…) nor a time of day"
        )
    return int(found[1]) * _UNITS[found[2]]


def first(schedule: Schedule, now: datetime) -> datetime:
    """Return when a schedule fires first."""
    every = period(schedule)
    found = _DAILY.fullmatch(schedule.expression)
    if found is None:
        return now + every
    minute, hour = int(found[1]), int(found[2])
    today = now.astimezone(UTC).replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + every


class Timetable:
    """Know which schedules are due, given the time."""

    def __init__(self, schedules: Sequence[Schedule], now: datetime) -> None:
        self._next = {schedule: first(schedule, now) for schedule in schedules}

    def due(self, now: datetime) -> list[Schedule]:
        """Return the schedules whose time has come, each once however late it is."""
        late = [schedule for schedule, at in self._next.items() if at <= now]
        for schedule in late:
            while self._next[schedule] <= now:
                self._next[schedule] += period(schedule)
        return late

    def wait(self, now: datetime) -> float | None:
        """Return the seconds until one is due; None if there are none at all."""
        if not self._next:
            return None
        return max(0.0, (min(self._next.values()) - now).total_seconds())


def payload(schedule: Schedule, now: datetime) -> bytes:
    """Return what the function is given: the rule's input, or EventBridge's own event."""
    if schedule.payload is not None:
        return schedule.payload.encode()
    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": REGION,
        "resources": [schedule.arn],
        "detail": {},
    }
    return json.dumps(event).encode()


def run(
    schedules: Sequence[Schedule],
    *,
    invoke: Callable[[str, bytes], object],
    stopping: threading.Event,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Fire schedules until `stopping` is set; `invoke` must not wait for the function."""
    timetable = Timetable(schedules, now())
    while not stopping.wait(timetable.wait(now())):
        for schedule in timetable.due(now()):
            invoke(schedule.function, payload(schedule, now()))
