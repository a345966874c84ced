"""Which repairs are due: by the fleet's policy, and where they could hurt, by time and repetition.

::

    policy off ─▶ not said      policy alert, or nothing to do ─▶ said
    auto ─┬─ harmless, or certain ───────────────────▶ said, and repaired at first sight
          └─ two real passes and 24 h since the first ─▶ repaired; until then only said
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias, TypeVar

from shared.domain.drift.kinds import Drift
from shared.domain.drift.policy import AGE, HARMLESS, SIGHTINGS, Policy, Repairing
from shared.domain.drift.repairs import Repair

__all__ = ["ForPeople", "Later", "Now", "Seen", "Verdict", "in_order", "judge"]

D = TypeVar("D", bound=Drift)


@dataclass(frozen=True, slots=True)
class Seen:
    """Say how often a finding was seen before, and since when."""

    first: datetime
    passes: int


@dataclass(frozen=True, slots=True)
class Now:
    """The repair is due."""

    repair: Repair


@dataclass(frozen=True, slots=True)
class Later:
    """The repair could hurt: it waits for another real pass at or after this moment."""

    repair: Repair
    at: datetime


@dataclass(frozen=True, slots=True)
class ForPeople:
    """Nothing is done by itself."""


Verdict: TypeAlias = Now | Later | ForPeople


def judge(drift: Drift, *, policy: Policy, before: Seen | None, now: datetime) -> Verdict:
    """Say what becomes of a drift that this pass has seen.

    `before` is what earlier real passes saw of it, None when this one is the first.
    """
    repair = drift.repair
    if repair is None or policy[drift.kind] is not Repairing.AUTO:
        return ForPeople()
    if drift.certain or drift.kind in HARMLESS:
        return Now(repair)
    first = now if before is None else before.first
    passes = 1 + (0 if before is None else before.passes)
    if passes >= SIGHTINGS and now - first >= AGE:
        return Now(repair)
    return Later(repair, first + AGE)


def in_order(drifts: Iterable[D], policy: Policy) -> list[D]:
    """Return what is to be said, each thing once, the worst first, always in the same order."""
    told = {
        (drift.kind, drift.subject): drift
        for drift in drifts
        if policy[drift.kind] is not Repairing.OFF
    }
    return sorted(
        told.values(), key=lambda drift: (-drift.severity.rank, drift.kind, drift.subject)
    )
