"""A pass of the reconciler, as it is put away between two invocations."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer

from shared.aws.runs import LastRun
from shared.domain.drift.every import AnyDrift, dump_drift, load_drift
from shared.domain.drift.policy import DriftKind
from shared.domain.finding import Sighting
from shared.domain.lifecycle import Instant

__all__ = ["Planned", "Run", "RunAnswer"]


def _loaded(value: object) -> object:
    return load_drift(value) if isinstance(value, dict) else value


Written = Annotated[
    AnyDrift, BeforeValidator(_loaded), PlainSerializer(dump_drift, return_type=dict[str, Any])
]
"""A drift that says its kind where it is written down: otherwise some look alike."""


class Planned(BaseModel):
    """Say what becomes of a drift: repaired in this pass, or not before a moment, or by people.

    `repaired` says whether the repair was done, None as long as it was not tried; `mended` that it
    was seen to have helped.
    """

    drift: Written
    due: bool = False
    later: Instant | None = None
    repaired: bool | None = None
    mended: bool = False

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of its finding."""
        return self.drift.sighting().fingerprint


class Run(BaseModel):
    """Hold a pass: what is left to do, what it has seen, what it could not see."""

    run_id: str
    began: Instant
    dry: bool
    todo: list[str]
    drifts: list[Written] = Field(default_factory=list)
    planned: list[Planned] = Field(default_factory=list)
    workers: list[Sighting] = Field(default_factory=list)
    marked: list[str] = Field(default_factory=list)
    """Pool Workers that this pass had published anew, besides those of its repairs."""
    over: list[str] = Field(default_factory=list)
    """Fingerprints of what was seen to be mended since."""
    compared: dict[str, int] = Field(default_factory=dict)
    looked: set[DriftKind] = Field(default_factory=set)
    unsure: set[DriftKind] = Field(default_factory=set)
    notes: list[str] = Field(default_factory=list)
    calls: int = 0
    seconds: float = 0
    listing: LastRun | None = None

    def saw(self, drifts: Iterable[AnyDrift]) -> None:
        """Take down what was seen."""
        self.drifts += drifts

    def count(self, what: str, number: int) -> None:
        """Count what was compared."""
        self.compared[what] = self.compared.get(what, 0) + number

    def note(self, line: str, unsure: Iterable[DriftKind]) -> None:
        """Take down what could not be seen, and about which kinds nothing follows from that."""
        self.notes.append(line)
        self.unsure.update(unsure)

    def sightings(self) -> list[Sighting]:
        """Return all that is to be told of, once it was judged."""
        return [*(planned.drift.sighting() for planned in self.planned), *self.workers]

    def kinds(self) -> list[DriftKind]:
        """Return the kinds of which all was seen that there is."""
        return sorted(self.looked - self.unsure)


class RunAnswer(BaseModel):
    """Say how a pass stands. `retry_after` is in seconds; `report` its key once it is done."""

    run: str
    state: Literal["done", "unfinished", "waiting", "busy"]
    retry_after: float = 0
    report: str = ""
    step: str = ""
    found: int = 0
    repaired: int = 0
    left: int = 0
    calls: int = 0
    seconds: float = 0
    compared: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> "RunAnswer":
        """Return how a run stands now."""
        repaired = sum(bool(planned.repaired) for planned in run.planned) + len(run.marked)
        found = len(run.planned or run.drifts) + len(run.workers)
        return cls(
            run=run.run_id,
            state="done",
            report=f"{run.run_id}.json",
            step=run.todo[0] if run.todo else "",
            found=found,
            repaired=repaired,
            left=found - repaired,
            calls=run.calls,
            seconds=round(run.seconds, 3),
            compared=run.compared,
        )
