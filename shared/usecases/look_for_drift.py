"""The looking part of a pass: what each step compares, and what it takes down of that."""

import logging
from collections.abc import Mapping
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
from shared.usecases.gather_contents import gather_contents
from shared.usecases.gather_databases import gather_databases
from shared.usecases.gather_routes import gather_routes
from shared.usecases.gather_slots import gather_slots
from shared.usecases.gather_work import gather_work
from shared.usecases.look_after_workers import LookAfterWorkers, WorkersReport
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside

__all__ = ["LookForDrift"]

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
    """Look at one part of a fleet after the other."""

    control: Control
    outside: Outside
    findings: KeepFindings
    runs: Runs

    def __call__(self, step: str, run: Run, looking: Looking) -> None:
        """Do one step; what can't be asked is said, and proves nothing.

        Raises:
            NoPermit, RateLimited: the budget says wait; the step is to be done again.
        """
        name, _, subject = step.partition(":")
        try:
            self._gather(name, subject, run, looking)
        except (NoPermit, RateLimited):
            raise
        except (ControlPlaneError, ShardMoving) as error:
            log.warning("a part was not compared", extra={"part": name, "why": str(error)})
            run.note(f"{subject or name} was not compared: {error}", _KINDS[name])
        else:
            if name != "workers":
                run.looked.update(_KINDS[name])

    def _gather(self, name: str, subject: str, run: Run, looking: Looking) -> None:
        match name:
            case "databases":
                self._databases(run, looking)
            case "bindings":
                run.saw(gather_bindings(looking, subject))
                run.count("shards", 1)
            case "slots":
                run.saw(gather_slots(looking))
            case "routes":
                stale, tenants = gather_routes(looking)
                run.saw(stale)
                run.count("tenants", tenants)
            case "contents":
                seen = gather_contents(looking, self._open_contents())
                run.saw(seen.drifts)
                run.count("measured", seen.measured)
                for shard in seen.unasked:
                    run.note(f"the databases of {shard} were not measured", _CONTENTS)
            case "work":
                run.saw(gather_work(looking))
            case "workers":
                self._workers(run)
            case _:
                raise ValueError(f"no such step: {name}")

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
