"""Whether a listing of D1 proves that something is not there.

A listing that was cut short, changed while it was read, or shrank by more than we can account for
says nothing about what it lacks. What it has is there all the same.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.domain.names import ulid_of_database

__all__ = ["BELIEVED_AFTER", "MAY_SHRINK", "Counts", "Listing", "doubt"]

MAY_SHRINK: Final = 0.1
"""The share of our databases that may be gone since the last run without our doing."""
ALWAYS_MAY_SHRINK: Final = 10
BELIEVED_AFTER: Final = timedelta(hours=24)
"""A smaller listing that stays so for so long is how it is."""


@dataclass(frozen=True)
class Counts:
    """Say how many databases of ours a run found listed, and how many the table then had.

    `doubted_since` is when a listing was first found too small, until one is believed again.
    """

    listed: int
    recorded: int
    doubted_since: datetime | None = None


@dataclass
class Listing:
    """Gather what is ours of a listing, page by page: the uuid of each database by its ULID."""

    fleet: str
    ours: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    flaw: str | None = None

    def add(self, names_and_uuids: list[tuple[str, str]]) -> None:
        """Take in a page. What is not exactly named as ours is not looked at."""
        self.pages += 1
        for name, uuid in names_and_uuids:
            ulid = ulid_of_database(self.fleet, name)
            if ulid is None:
                continue
            if ulid in self.ours:
                # What repeats pushed something else over the edge of a page.
                self.flaw = f"{name} was listed twice"
            self.ours[ulid] = uuid


def doubt(listing: Listing, *, recorded: int, last: Counts | None, now: datetime) -> str | None:
    """Return why a listing is no evidence of what it lacks, or None if it is.

    `recorded` is how many databases the table says are on D1. What left the table since the last
    run may be gone from the listing too.
    """
    if listing.flaw is not None:
        return listing.flaw
    if last is None:
        return None
    gone = last.listed - len(listing.ours)
    accounted = max(0, last.recorded - recorded)
    if gone - accounted <= max(ALWAYS_MAY_SHRINK, last.listed * MAY_SHRINK):
        return None
    if last.doubted_since is not None and now - last.doubted_since >= BELIEVED_AFTER:
        return None
    return f"{last.listed} databases became {len(listing.ours)}, and {accounted} were deleted by us"
