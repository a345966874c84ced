"""Operators' words are decided anew as long as somebody else is quicker."""

import logging
from collections.abc import Callable
from typing import Final, TypeVar

from shared.errors import Conflict, Transient

__all__ = ["until_written"]

RACES: Final = 5
T = TypeVar("T")

log = logging.getLogger("d1fleet")


def until_written(attempt: Callable[[], T], *, what: str) -> T:
    """Make an attempt that reads, decides and writes, until nobody else wrote in between.

    Raises:
        Transient: somebody else did so each time; `what` is named as contended.
    """
    for _ in range(RACES):
        try:
            return attempt()
        except Conflict as conflict:
            log.info("lost a race for %s, reading again", conflict.condition)
    raise Transient(f"{what} is contended: try again", retry_after=1)
