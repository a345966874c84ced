"""A row of the table: what was measured, beside what, and what it should be. Pure."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

__all__ = ["Row", "Sample", "Target", "Verdict", "as_document", "verdict"]

Verdict = Literal["met", "missed", "none set", "not this run"]


@dataclass(frozen=True)
class Sample:
    """Hold the values of repeated runs.

    Raises:
        ValueError: there are none.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a sample needs at least one value")

    @classmethod
    def of(cls, values: Iterable[float]) -> "Sample":
        return cls(tuple(values))

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def as_json(self) -> dict[str, Any]:
        return {
            "median": self.median,
            "min": min(self.values),
            "max": max(self.values),
            "n": len(self.values),
            "values": list(self.values),
        }


@dataclass(frozen=True)
class Target:
    """Say what a row should reach: its own median, or its ratio to the reference, at most."""

    of: Literal["ours", "ratio"]
    at_most: float

    def __str__(self) -> str:
        what = "" if self.of == "ours" else "ratio "
        return f"{what}≤ {self.at_most:g}"


@dataclass(frozen=True)
class Row:
    """Hold one row. `extra` is what the JSON should say beside it; `note` is for people.

    `paired`: each value of ours was measured right beside the one of the reference. `indicative`: a
    short run's figure is no ground for a verdict.

    Raises:
        ValueError: values are paired, and one is alone.
    """

    name: str
    unit: str
    ours: Sample
    reference: Sample | None = None
    reference_name: str = ""
    target: Target | None = None
    note: str = ""
    extra: Mapping[str, Any] | None = None
    paired: bool = False
    indicative: bool = False

    def __post_init__(self) -> None:
        others = 0 if self.reference is None else len(self.reference.values)
        if self.paired and others != len(self.ours.values):
            raise ValueError(f"{self.name} has {len(self.ours.values)} values beside {others}")

    @property
    def ratio(self) -> float | None:
        """Return ours ÷ reference; None without one, or with one of nought.

        Of pairs it is the median of their ratios, since what else the machine does meets both of a
        pair alike; otherwise the ratio of the medians.
        """
        if self.reference is None or min(self.reference.values) == 0:
            return None
        if self.paired:
            pairs = zip(self.ours.values, self.reference.values, strict=True)
            return statistics.median(ours / reference for ours, reference in pairs)
        return self.ours.median / self.reference.median


_ROUNDING: Final = 1e-9


def verdict(row: Row) -> Verdict:
    """Say whether a row meets its target."""
    if row.target is None:
        return "none set"
    if row.indicative:
        return "not this run"
    value = row.ours.median if row.target.of == "ours" else row.ratio
    if value is None:
        raise ValueError(f"{row.name} has a target for a ratio and no reference")
    return "met" if value <= row.target.at_most + _ROUNDING else "missed"


def as_document(rows: Sequence[Row], about: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a run is kept as: `about` says when, where and how."""
    return {
        **about,
        "rows": [
            {
                "name": row.name,
                "unit": row.unit,
                "ours": row.ours.as_json(),
                "reference": None if row.reference is None else row.reference.as_json(),
                "reference_name": row.reference_name,
                "ratio": row.ratio,
                "target": None if row.target is None else str(row.target),
                "verdict": verdict(row),
                "note": row.note,
                "extra": dict(row.extra or {}),
            }
            for row in rows
        ],
    }
