"""Whether what was heard of D1 proves that a database is not there: its list, or a binding's error.

A listing that was cut short, changed while it was read, or shrank by more than we can account for
says nothing about what it lacks. What it has is there all the same. A smaller one is believed once
another whole listing, a day later, is about as small: two that are both wrong are hardly so alike.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, NamedTuple

from shared.domain.drift.policy import AGE
from shared.domain.names import ulid_of_database

__all__ = ["BELIEVED_AFTER", "MAY_SHRINK", "Counts", "Listing", "Weighed", "says_gone", "weigh"]

MAY_SHRINK: Final = 0.1
"""The share of our databases that may be gone since the last run without our doing."""
ALWAYS_MAY_SHRINK: Final = 10
BELIEVED_AFTER: Final = AGE
"""A smaller listing that stays so for so long is how it is."""


@dataclass(frozen=True)
class Counts:
    """Say how many databases of ours the last believed listing had, and how many the table.

    `doubted_since` is when a whole listing was first found too small and `doubted_listed` how many
    that one had, until one is believed again.
    """

    listed: int = 0
    recorded: int = 0
    doubted_since: datetime | None = None
    doubted_listed: int = 0


class Weighed(NamedTuple):
    """Say what the next listing is measured by, and why this one proves no absence, if so."""

    counts: Counts
    doubt: str | None


@dataclass
class Listing:
    """Gather what is ours of a listing, page by page: the uuid of each database by its ULID.

    `names` are those of `wanted` uuids, whosever they are.
    """

    fleet: str
    wanted: Collection[str] = ()
    ours: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    flaw: str | None = None
    _seen: set[str] = field(default_factory=set)

    def add(self, names_and_uuids: list[tuple[str, str]]) -> None:
        """Take in a page. What is not exactly named as ours is only looked at for repeats."""
        self.pages += 1
        for name, uuid in names_and_uuids:
            ulid = ulid_of_database(self.fleet, name)
            if uuid in self._seen or ulid in self.ours:
                # What repeats pushed something else over the edge of a page, whosever it is.
                self.flaw = f"{name} was listed twice"
            self._seen.add(uuid)
            if uuid in self.wanted:
                self.names[uuid] = name
            if ulid is not None:
                self.ours[ulid] = uuid


def weigh(listing: Listing, *, recorded: int, last: Counts | None, now: datetime) -> Weighed:
    """Say whether a listing is evidence of what it lacks.

    `recorded` is how many databases the table says are on D1, `last` what the last run left. What
    left the table since then may be gone from the listing too. One with a flaw neither begins nor
    confirms a doubt: how many it has says nothing.
    """
    listed = len(listing.ours)
    last = last or Counts()
    if listing.flaw is not None:
        return Weighed(last, listing.flaw)
    gone = last.listed - listed
    accounted = max(0, last.recorded - recorded)
    if gone - accounted <= _tolerated(last.listed):
        return Weighed(Counts(listed, recorded), None)
    why = f"{last.listed} databases became {listed}, and {accounted} were deleted by us"
    alike = abs(listed - last.doubted_listed) <= _tolerated(last.doubted_listed)
    if last.doubted_since is None or not alike:
        return Weighed(replace(last, doubted_since=now, doubted_listed=listed), why)
    if now - last.doubted_since >= BELIEVED_AFTER:
        return Weighed(Counts(listed, recorded), None)
    return Weighed(last, why)


def _tolerated(listed: int) -> float:
    return max(ALWAYS_MAY_SHRINK, listed * MAY_SHRINK)


_ANSWERS: Final = re.compile(
    r"SQLITE_|timed? ?out|overload|internal error|reset|network|connect|transient|unavailable"
    r"|too many|exceed|limit",
    re.IGNORECASE,
)
"""What D1 says of a database that is there and can't answer now, as its list of errors has it."""


def says_gone(message: str) -> bool:
    """Say whether an error of a query through a binding speaks for its database being gone."""
    return _ANSWERS.search(message) is None
