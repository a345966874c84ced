"""How long work is done: which way a database is copied, and how often a transfer is asked for."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

__all__ = ["MOST_IMPORTED", "CopyMethod", "choose_method", "poll_pauses", "polls_reserved"]

MOST_IMPORTED: Final = 5_000_000_000
"""Bytes of a dump that D1's import takes (developers.cloudflare.com/d1/best-practices)."""

_PATIENCE: Final = 780.0
_FIRST_PAUSES: Final = (0.5, 0.5, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0)
_PAUSE: Final = 5.0
_FEWEST_POLLS: Final = 4
_MOST_POLLS: Final = 60
_BYTES_A_POLL: Final = 20_000_000


class CopyMethod(StrEnum):
    """Name how a database's content is got: D1's own export, or queries in pages."""

    EXPORT = "export"
    SNAPSHOT = "snapshot"


def choose_method(*, block: bool, bound: bool, virtual: bool) -> CopyMethod:
    """Say how to copy a database.

    D1's export is quick, and keeps the database from answering: only where that is allowed
    (`block`) or nobody can ask it (not `bound`). A `virtual` table makes it fail for good.
    """
    if virtual:
        return CopyMethod.SNAPSHOT
    return CopyMethod.EXPORT if block or not bound else CopyMethod.SNAPSHOT


def polls_reserved(size: int) -> int:
    """Return how many calls to have permits for before a transfer of `size` bytes begins.

    One that must wait for its next permit half-way is cancelled by D1.
    """
    return min(_MOST_POLLS, _FEWEST_POLLS + size // _BYTES_A_POLL)


def poll_pauses() -> Iterator[float]:
    """Yield the seconds to wait before each poll of a transfer, as many as one attempt has."""
    spent = 0.0
    pauses = iter(_FIRST_PAUSES)
    while spent < _PATIENCE:
        pause = next(pauses, _PAUSE)
        spent += pause
        yield pause
