"""How many runs of each measurement: a full run, and a short one that only shows the way. Pure."""

from dataclasses import dataclass
from typing import Final

__all__ = ["FULL", "QUICK", "Scale"]


@dataclass(frozen=True)
class Scale:
    """Hold the sizes of a run.

    `cold`, `warm`: signups; beside each cold one runs the reference, beside warm ones it runs
    `warm_reference` times; `refill`: databases; `rounds` of `queries` and
    `lookup_rounds` of `lookups` in workerd; `imports`: processes of each function; `leaving`:
    tenants that end; `backup`: the megabytes of the database that is dumped;
    `drift`: tenants of the fleet that a pass compares.
    """

    cold: int
    warm: int
    warm_reference: int
    refill: int
    rounds: int
    queries: int
    lookup_rounds: int
    lookups: int
    imports: int
    leaving: int
    backup: int
    drift: int

    @property
    def whole(self) -> bool:
        """Say whether the targets, which are set for a full run, may be judged by it."""
        return self.refill >= 100


FULL: Final = Scale(
    cold=5,
    warm=15,
    warm_reference=7,
    refill=100,
    rounds=60,
    queries=40,
    lookup_rounds=7,
    lookups=500,
    imports=9,
    leaving=3,
    backup=100,
    drift=50_000,
)
QUICK: Final = Scale(
    cold=2,
    warm=5,
    warm_reference=2,
    refill=20,
    rounds=20,
    queries=40,
    lookup_rounds=4,
    lookups=300,
    imports=3,
    leaving=1,
    backup=10,
    drift=2_000,
)
