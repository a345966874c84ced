"""Read a live database over REST without giving up half-way for want of a permit.

What was read would have to be read again, at the cost of more permits than the wait would have
been. Only long work does this: it has the time, and nobody waits for its answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.dumps import Live
from shared.errors import NoPermit

__all__ = ["Patient"]

MOST_WAIT: Final = 300.0
"""Seconds that one reading waits for permits, all in all."""


@dataclass
class Patient:
    """Ask a live database, waiting for permits for some minutes in all."""

    live: Live
    pause: Callable[[float], None]
    _left: float = field(default=MOST_WAIT)

    def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read, all in one transaction.

        Raises:
            NoPermit: the patience is at its end.
        """
        while True:
            try:
                return self.live.rows(statements)
            except NoPermit as refused:
                seconds = max(1.0, refused.retry_after or 0.0)
                if seconds > self._left:
                    raise
                self._left -= seconds
                self.pause(seconds)
