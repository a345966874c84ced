"""A pass of the reconciler, as it is put away between two invocations."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationError,
)

from shared.aws.runs import LastRun, Runs
from shared.domain.drift.every import AnyDrift, dump_drift, load_drift
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import DropBinding, GiveSlot, RepublishShard
from shared.domain.finding import Sighting
from shared.domain.lifecycle import Instant
from shared.errors import Permanent
from shared.usecases.gather_contents import Measuring

__all__ = ["Planned", "Run", "RunAnswer", "keep_run", "read_run"]

_STEPS: Final = frozenset(
    {
        *("databases", "bindings", "slots", "routes", "contents", "work", "workers"),
        *("plan", "keep", "repair", "mend", "report"),
    }
)


def _loaded(value: object) -> object:
    try:
        return load_drift(value) if isinstance(value, dict) else value
    except KeyError as error:
        raise ValueError(f"no drift that is known here: {error}") from error


def _known(step: str) -> str:
    if step.partition(":")[0] not in _STEPS:
        raise ValueError(f"no such step: {step}")
    return step


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
    """Hold a pass: what is left to do, what it has seen, what it could not see.

    `again`: the first step may have been done in part before, by somebody who was killed at it.
    """

    run_id: str
    began: Instant
    dry: bool
    todo: list[Annotated[str, AfterValidator(_known)]]
    again: bool = False
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
    stale: list[str] | None = None
    """Tenants whose rows are to be looked at once more; None before the directory was compared."""
    measuring: Measuring | None = None

    @property
    def found(self) -> int:
        """Return how many differences were seen."""
        return len(self.planned) + len(self.drifts) + len(self.workers)

    @property
    def repaired(self) -> int:
        """Return how many repairs were asked for."""
        return sum(bool(planned.repaired) for planned in self.planned) + len(self.marked)

    @property
    def left(self) -> int:
        """Return of how much nobody has seen yet that it is mended."""
        return self.found - len(self.over)

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

    def published(self) -> set[str]:
        """Return the shards that repairs of this pass have had published anew."""
        done = (planned.drift.repair for planned in self.planned if planned.repaired)
        of_shards = (DropBinding, GiveSlot, RepublishShard)
        return {repair.script for repair in done if isinstance(repair, of_shards)}

    def sightings(self) -> list[Sighting]:
        """Return all that is to be told of, once it was judged."""
        return [*(planned.drift.sighting() for planned in self.planned), *self.workers]

    def kinds(self) -> list[DriftKind]:
        """Return the kinds of which all was seen that there is."""
        return sorted(self.looked - self.unsure)


class RunAnswer(BaseModel):
    """Say how a pass stands. `retry_after` is in seconds; `report` its key once it has ended.

    `left` counts what nobody has seen to be mended, as the report does.
    """

    run: str
    state: Literal["done", "unfinished", "waiting", "busy", "given_up"]
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
        return cls(
            run=run.run_id,
            state="done",
            report=f"{run.run_id}.json",
            step=run.todo[0] if run.todo else "",
            found=run.found,
            repaired=run.repaired,
            left=run.left,
            calls=run.calls,
            seconds=round(run.seconds, 3),
            compared=run.compared,
        )


def keep_run(runs: Runs, run: Run) -> None:
    """Put a pass away as it stands.

    Raises:
        Transient: the bucket does not answer.
    """
    runs.keep(_key(run.run_id), run.model_dump(mode="json"))


def read_run(runs: Runs, run_id: str) -> Run:
    """Return a pass that was put away.

    Raises:
        Permanent: it is gone, or was put away by a version that wrote it otherwise.
        Transient: the bucket does not answer.
    """
    document = runs.read(_key(run_id))
    try:
        return Run.model_validate(document)
    except ValidationError as error:
        what = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise Permanent(
            f"what the pass {run_id} has seen can't be read any more: {what}"
        ) from error


def _key(run_id: str) -> str:
    return f"{run_id}/state.json"
