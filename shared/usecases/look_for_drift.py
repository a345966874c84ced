"""The looking part of a pass: what each step compares, and what it takes down of that."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from shared.aws.runs import LastRun, Runs
from shared.cloudflare.errors import RateLimited
from shared.domain.drift.bindings import BindingDrift
from shared.domain.drift.policy import OF_WORKERS, DriftKind, Repairing
from shared.domain.names import ulid_of_database
from shared.errors import ControlPlaneError, NoPermit
from shared.usecases.context import Control
from shared.usecases.drift_run import Run
from shared.usecases.findings import KeepFindings
from shared.usecases.gather_bindings import ShardMoving, gather_bindings
from shared.usecases.gather_contents import begin_measuring, compare_measured, measure_part
from shared.usecases.gather_databases import gather_databases
from shared.usecases.gather_routes import look_at_routes, suspect_routes
from shared.usecases.gather_slots import gather_slots
from shared.usecases.gather_work import gather_work
from shared.usecases.look_after_workers import LookAfterWorkers, WorkersReport
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside

__all__ = ["AT_ONCE", "LookForDrift"]

AT_ONCE: Final = 100
"""So many are looked at between two looks at the time: that takes seconds, at worst a minute."""

_K = DriftKind
_CONTENTS: Final = (_K.SCHEMA_BEHIND, _K.SCHEMA_DRIFT, _K.SIZE_NEAR_LIMIT)
_KINDS: Final[Mapping[str, tuple[DriftKind, ...]]] = {
    "databases": (_K.DATABASE_MISSING, _K.DATABASE_ORPHAN),
    "bindings": (
        _K.BINDING_MISSING,
        _K.BINDING_WRONG,
        _K.BINDING_DANGLING,
        _K.BINDING_UNEXPECTED,
    ),
    "slots": (_K.BINDING_MISSING,),
    "routes": (_K.DIRECTORY_STALE,),
    "contents": _CONTENTS,
    "workers": OF_WORKERS,
    "work": (_K.TENANT_STUCK, _K.TEARDOWN_OVERDUE, _K.POOL_LOW, _K.DLQ_NOT_EMPTY),
}
"""What each step looks for: what it could not do says nothing about these."""

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class LookForDrift:
    """Look at one part of a fleet after the other, at so many records `at_once`."""

    control: Control
    outside: Outside
    findings: KeepFindings
    runs: Runs
    at_once: int = AT_ONCE

    def __call__(self, step: str, run: Run, looking: Looking, enough: Callable[[], bool]) -> bool:
        """Do one step, or as much of it as there is `enough` time for; say whether that was all.

        What can't be asked is said, and proves nothing.

        Raises:
            NoPermit, RateLimited: the budget says wait; the step is to be done again.
        """
        name, _, subject = step.partition(":")
        try:
            if not self._gather(name, subject, run, looking, enough):
                return False
        except (NoPermit, RateLimited):
            raise
        except (ControlPlaneError, ShardMoving) as error:
            log.warning("a part was not compared", extra={"part": name, "why": str(error)})
            run.note(f"{subject or name} was not compared: {error}", _KINDS[name])
            run.measuring = None
        else:
            if name != "workers":
                run.looked.update(_KINDS[name])
        return True

    def _gather(
        self, name: str, subject: str, run: Run, looking: Looking, enough: Callable[[], bool]
    ) -> bool:
        match name:
            case "databases":
                self._databases(run, looking)
            case "bindings":
                run.saw(gather_bindings(looking, subject))
                run.count("shards", 1)
            case "slots":
                run.saw(gather_slots(looking))
            case "routes":
                return self._routes(run, looking, enough)
            case "contents":
                return self._contents(run, looking, enough)
            case "work":
                run.saw(gather_work(looking))
            case "workers":
                self._workers(run)
            case _:
                raise ValueError(f"no such step: {name}")
        return True

    def _routes(self, run: Run, looking: Looking, enough: Callable[[], bool]) -> bool:
        if run.stale is None:
            run.stale, tenants = suspect_routes(looking)
            run.count("tenants", tenants)
            if run.stale and not enough():
                return False
        while run.stale:
            run.saw(look_at_routes(looking, run.stale[: self.at_once]))
            del run.stale[: self.at_once]
            if run.stale and not enough():
                return False
        return True

    def _contents(self, run: Run, looking: Looking, enough: Callable[[], bool]) -> bool:
        if run.measuring is None:
            run.measuring = begin_measuring(looking, self._open_contents(), self.at_once)
            if run.measuring.left and not enough():
                return False
        measuring = run.measuring
        while measuring.left:
            measure_part(looking, measuring)
            if measuring.left and not enough():
                return False
        run.saw(compare_measured(looking, measuring))
        run.count("measured", len(measuring.rows))
        for shard in measuring.unasked:
            run.note(f"the databases of {shard} were not measured", _CONTENTS)
        run.measuring = None  # what was measured is much, and of no more use
        return True

    def _databases(self, run: Run, looking: Looking) -> None:
        last = self.runs.last()
        counts = None if last is None else last.counts
        seen = gather_databases(looking, counts, last.pages if last else 1)
        run.saw(seen.drifts)
        run.count("databases", seen.compared)
        run.listing = LastRun(
            run_id=run.run_id,
            key="",
            finished_at=run.began,
            listed=seen.counts.listed,
            recorded=seen.counts.recorded,
            pages=max(1, seen.pages),
            doubted_since=seen.counts.doubted_since,
            doubted_listed=seen.counts.doubted_listed,
        )
        if seen.doubt is not None:
            run.note(
                f"the listing of D1 is no evidence of what it lacks: {seen.doubt}",
                _KINDS["databases"],
            )

    def _workers(self, run: Run) -> None:
        """Look at the running Workers; a binding that is gone is told of as just that."""
        seen = self.after_workers(run, "", real=False)
        policy = self.control.settings.policy
        told = {drift.script for drift in run.drifts if isinstance(drift, BindingDrift)}
        run.workers += [
            sighting
            for sighting in seen.sightings
            if policy[DriftKind(sighting.kind)] is not Repairing.OFF
            and not (sighting.kind == DriftKind.GENERATION_NOT_LIVE and sighting.subject in told)
        ]
        known = {finding.subject for finding in self.findings.standing(OF_WORKERS)}
        run.looked.update(DriftKind(kind) for kind in seen.resolvable(known))
        run.notes += [f"{script} was not seen" for script in seen.unanswered]

    def after_workers(self, run: Run, trace: str, *, real: bool = True) -> WorkersReport:
        """Look after the running Workers; if `real`, have mended what the policy allows."""
        policy = self.control.settings.policy
        look = LookAfterWorkers(
            self.control,
            self.outside,
            lambda trouble: policy[DriftKind(trouble)] is Repairing.AUTO,
        )
        seen = look(trace, real=real)
        run.calls += seen.calls
        return seen

    def _open_contents(self) -> set[str]:
        """Return which databases have an open finding about what is in them."""
        kinds = [str(kind) for kind in _CONTENTS]
        names = (finding.database_name for finding in self.findings.standing(kinds))
        fleet = self.control.settings.fleet
        return {ulid for name in names if name and (ulid := ulid_of_database(fleet, name))}
