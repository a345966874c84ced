"""How much of one invocation a channel of alerts may have: what is slow or dead costs the others.

Whoever tells people makes one of these for as long as it runs, however often it tells meanwhile.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

__all__ = ["FAILURES", "TIME_EACH", "TIME_IN_ALL", "Turns"]

FAILURES: Final = 2
"""After so many that may pass, a channel is left alone until the next invocation."""
TIME_EACH: Final = timedelta(seconds=20)
"""So long one channel may take, all its alerts together; what was begun may take 20 more."""
TIME_IN_ALL: Final = timedelta(seconds=60)


@dataclass
class Turns:
    """Count what the channels cost, and say which had enough of it."""

    _failures: Counter[str] = field(default_factory=Counter)
    _took: dict[str, timedelta] = field(default_factory=dict)

    def had_enough(self, channel: str) -> bool:
        """Say whether a channel is left alone for the rest of the invocation."""
        mine = self._took.get(channel, timedelta(0))
        if self._failures[channel] >= FAILURES or mine >= TIME_EACH:
            return True
        return sum(self._took.values(), timedelta(0)) >= TIME_IN_ALL

    def note(self, channel: str, took: timedelta, *, failed: bool) -> None:
        """Count an alert that a channel was asked to take, in vain if it `failed`."""
        self._took[channel] = self._took.get(channel, timedelta(0)) + took
        self._failures[channel] += failed
