"""The breaker of deletes: whether one more database may go, or too many would go at once.

A leaked secret, a provider's bug or a wrong command must not erase the fleet. What was deleted in
the last 24 hours and what is due within the next are weighed together, before the first of them: if
that is more than a day's most, nothing is deleted until a person has looked.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, TypeAlias

__all__ = [
    "WINDOW",
    "Breaker",
    "Permit",
    "Stopped",
    "Trip",
    "Verdict",
    "after_delete",
    "deletes_allowed",
    "weigh",
]

WINDOW: Final = timedelta(hours=24)
_LEAST: Final = 5
_SHARE: Final = 50
"""One in so many tenants: 2 %."""


@dataclass(frozen=True)
class Breaker:
    """Hold the breaker's state.

    `done` counts deletes by hour (`2026-11-23T12`, UTC). A person who reset it confirmed `allowed`
    deletes until `allowed_until`. `version` is the condition of the next change.
    """

    reason: str | None = None
    opened_at: datetime | None = None
    done: Mapping[str, int] = field(default_factory=dict)
    allowed: int = 0
    allowed_until: datetime | None = None
    version: int = 0

    @property
    def is_open(self) -> bool:
        """Say whether all deletes are stopped."""
        return self.reason is not None

    def recent(self, now: datetime) -> int:
        """Return how many deletes began in the window that ends now."""
        oldest = _hour(now - WINDOW)
        return sum(count for hour, count in self.done.items() if hour >= oldest)

    def most(self, usual: int, now: datetime) -> int:
        """Return how many deletes a window may have, given what it usually may."""
        confirmed = self.allowed_until is not None and now < self.allowed_until
        return max(usual, self.allowed) if confirmed else usual


@dataclass(frozen=True)
class Permit:
    """This delete may go."""


@dataclass(frozen=True)
class Trip:
    """Stop all deletes now, for this reason."""

    reason: str


@dataclass(frozen=True)
class Stopped:
    """All deletes are stopped already, for this reason."""

    reason: str


Verdict: TypeAlias = Permit | Trip | Stopped


def deletes_allowed(setting: int, tenants: int) -> int:
    """Return how many deletes a window may have: the setting, or if 0 what suits the fleet."""
    return setting or max(_LEAST, tenants // _SHARE)


def weigh(breaker: Breaker, *, due: int, usual: int, now: datetime) -> Verdict:
    """Say whether one more database may be deleted.

    `due` counts the deletes that come within the next window, this one included.
    """
    if breaker.reason is not None:
        return Stopped(breaker.reason)
    done, most = breaker.recent(now), breaker.most(usual, now)
    if done + due > most:
        return Trip(
            f"{due} databases are due to be deleted within 24 hours and {done} were in the last 24:"
            f" more than {most}"
        )
    return Permit()


def after_delete(breaker: Breaker, now: datetime) -> dict[str, int]:
    """Return the counts with one more delete; hours that count no more are dropped."""
    oldest, current = _hour(now - WINDOW), _hour(now)
    kept = {hour: count for hour, count in breaker.done.items() if hour >= oldest}
    return {**kept, current: kept.get(current, 0) + 1}


def _hour(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H")
