"""Compare everything, say what differs, repair what may be repaired. Called nightly, and on demand.

A pass is a list of steps, each of which can be done in one go. When the time or the permits of an
invocation run out, what was seen so far is put into the bucket and the next one goes on with the
first step that is left::

    databases ─▶ bindings of each shard ─▶ slots ─▶ routes ─▶ contents ─▶ work ─▶ Workers
                                                    plan ─▶ keep ─▶ repair ─▶ mend ─▶ report

Findings are kept before anything is repaired: whoever is killed in between has told of all that he
saw, and the next pass sees it again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.aws.items import new_ulid
from shared.aws.runs import LastRun, Runs
from shared.cloudflare.errors import RateLimited
from shared.domain.drift.bindings import BindingDrift
from shared.domain.drift.databases import DatabaseMissing
from shared.domain.drift.decide import Later, Now, Seen, in_order, judge
from shared.domain.drift.every import AnyDrift
from shared.domain.drift.policy import OF_WORKERS, DriftKind
from shared.domain.drift.repairs import Repair
from shared.errors import ControlPlaneError, NoPermit, Permanent
from shared.usecases.context import Control
from shared.usecases.drift_report import report_of
from shared.usecases.drift_run import Planned, Run, RunAnswer
from shared.usecases.findings import KeepFindings
from shared.usecases.look_for_drift import LookForDrift
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside
from shared.usecases.repair_drift import RepairDrift

__all__ = ["MARGIN", "Reconcile"]

MARGIN: Final = 60.0
"""A step is only begun with so many seconds left; the longest takes less."""
BUSY: Final = timedelta(minutes=5)
PERMIT_WAIT: Final = 30.0

_OF_WHOLE_WORKER: Final = frozenset(OF_WORKERS) - {DriftKind.GENERATION_NOT_LIVE}
"""Kinds that explain whatever else is wrong with a pool Worker."""

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class Reconcile:
    """Reconcile a fleet."""

    control: Control
    outside: Outside
    findings: KeepFindings
    runs: Runs
    depths: Callable[[], Mapping[str, int]]

    def __call__(
        self,
        *,
        trace: str,
        time_left: Callable[[], float],
        run_id: str | None = None,
        dry: bool = False,
    ) -> RunAnswer:
        """Begin a pass, or go on with the one that is named, as far as time and permits reach.

        A dry pass changes nothing and tells nobody; what it saw is in its report.

        Raises:
            Transient: the table or the bucket does not answer.
        """
        run = self._begun(dry=dry) if run_id is None else self._taken_on(run_id)
        if run is None:
            return self._elsewhere(run_id or "")
        while run.todo:
            if time_left() < MARGIN:
                return self._leave(run, "unfinished", 0)
            step = run.todo[0]
            began = self.control.now()
            looking = Looking(self.control, self.outside, self.depths, began)
            try:
                self._do(step, run, looking, trace)
            except (NoPermit, RateLimited) as error:
                log.info("the pass waits for permits: %s", error)
                return self._leave(run, "waiting", max(1.0, error.retry_after or PERMIT_WAIT))
            finally:
                run.calls += looking.calls
                run.seconds += (self.control.now() - began).total_seconds()
            run.todo.pop(0)
        if run_id is not None:
            self.runs.end(run_id)
        return RunAnswer.of(run)

    def _begun(self, *, dry: bool) -> Run:
        now = self.control.now()
        shards = [f"bindings:{room.script}" for room in self.control.pools.shards()]
        steps = ["databases", *shards, "slots", "routes", "contents", "work", "workers", "plan"]
        if not dry:
            steps += ["keep", "repair", "mend"]
        return Run(run_id=new_ulid(now), began=now, dry=dry, todo=[*steps, "report"])

    def _taken_on(self, run_id: str) -> Run | None:
        """Take an unfinished run on, unless somebody has it."""
        if not self.runs.take_on(run_id, self.control.now(), busy=BUSY):
            return None
        return Run.model_validate(self.runs.read(f"{run_id}/state.json"))

    def _elsewhere(self, run_id: str) -> RunAnswer:
        """Answer for a run that somebody else goes on with, or has ended."""
        key = f"{run_id}.json"
        try:
            report = self.runs.read(key)
        except Permanent:
            return RunAnswer(run=run_id, state="busy", retry_after=PERMIT_WAIT)
        return RunAnswer(
            run=run_id,
            state="done",
            report=key,
            found=len(report["findings"]),
            repaired=report["repaired"],
            left=report["left"],
        )

    def _leave(self, run: Run, state: str, after: float) -> RunAnswer:
        """Put a run away until later."""
        now = self.control.now()
        self.runs.keep(f"{run.run_id}/state.json", run.model_dump(mode="json"))
        self.runs.leave(run.run_id, since=now, not_before=now + timedelta(seconds=after))
        return RunAnswer.of(run).model_copy(update={"state": state, "retry_after": after})

    def _do(self, step: str, run: Run, looking: Looking, trace: str) -> None:
        match step:
            case "plan":
                self._plan(run)
            case "keep":
                compared = [str(kind) for kind in run.kinds()]
                self.findings(run.sightings(), compared=compared, trace=trace)
            case "repair":
                self._repair(run, looking, trace)
            case "mend":
                if any(seen.repair for seen in run.workers):
                    run.marked += self._look.after_workers(run, trace).marked
            case "report":
                self._report(run)
            case _:
                self._look(step, run, looking)

    @property
    def _look(self) -> LookForDrift:
        return LookForDrift(self.control, self.outside, self.findings, self.runs)

    # Deciding and doing

    def _plan(self, run: Run) -> None:
        """Judge what was seen by what earlier passes saw of it."""
        policy = self.control.settings.policy
        known = {
            finding.fingerprint: Seen(finding.first_seen, finding.sightings)
            for finding in self.findings.standing([str(kind) for kind in DriftKind])
        }
        for drift in in_order(_one_for_each_cause(run), policy):
            before = known.get(drift.sighting().fingerprint)
            verdict = judge(drift, policy=policy, before=before, now=self.control.now())
            run.planned.append(
                Planned(
                    drift=drift,
                    due=isinstance(verdict, Now),
                    later=verdict.at if isinstance(verdict, Later) else None,
                )
            )
        run.drifts.clear()

    def _repair(self, run: Run, looking: Looking, trace: str) -> None:
        repair_drift = RepairDrift(looking, trace)
        done: dict[Repair, bool] = {}
        for planned in run.planned:
            repair = planned.drift.repair
            if not planned.due or planned.repaired is not None or repair is None:
                continue
            try:
                if repair not in done:
                    done[repair] = repair_drift(planned.drift, repair)
            except (NoPermit, RateLimited):
                raise
            except ControlPlaneError as error:
                run.notes.append(f"{planned.drift.summary}: not repaired: {error}")
                done[repair] = False
            planned.repaired = done[repair]

    def _report(self, run: Run) -> None:
        """Write the report down, and what the next pass measures itself by."""
        now = self.control.now()
        states = {
            finding.fingerprint: str(finding.state)
            for finding in self.findings.standing([str(kind) for kind in DriftKind])
        }
        self.runs.keep(f"{run.run_id}.json", report_of(run, states, now))
        if run.dry:
            return
        repaired = bool(run.marked) or any(planned.repaired for planned in run.planned)
        if repaired:
            self.runs.keep(f"{run.run_id}/state.json", run.model_dump(mode="json"))
        before = run.listing or self.runs.last()
        counted = before.model_dump() if before else {}
        this = {
            "run_id": run.run_id,
            "key": f"{run.run_id}.json",
            "finished_at": now,
            "to_settle": repaired,
        }
        self.runs.finish(LastRun.model_validate(counted | this))


def _one_for_each_cause(run: Run) -> list[AnyDrift]:
    """Leave out what only follows: bindings to what is gone, or of a Worker that is another's."""
    gone = {drift.ulid for drift in run.drifts if isinstance(drift, DatabaseMissing)}
    whole = {seen.subject for seen in run.workers if seen.kind in _OF_WHOLE_WORKER}
    return [
        drift
        for drift in run.drifts
        if not (isinstance(drift, BindingDrift) and (drift.ulid in gone or drift.script in whole))
    ]
