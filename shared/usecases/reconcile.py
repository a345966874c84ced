"""Compare everything, say what differs, repair what may be repaired. Called nightly, and on demand.

A pass is a list of steps. After each, what was seen so far is put into the bucket: when the time or
the permits of an invocation run out, or somebody kills it, the next one goes on with the first step
that is left, and what is long of itself with the first part of it::

    databases ─▶ bindings of each shard ─▶ slots ─▶ routes ─▶ contents ─▶ work ─▶ Workers
                                                    plan ─▶ keep ─▶ repair ─▶ mend ─▶ report

Findings are kept before anything is repaired: whoever is killed in between has told of all that he
saw, and the next pass sees it again.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from shared.aws.items import new_ulid
from shared.aws.runs import LastRun, Runs
from shared.cloudflare.errors import RateLimited
from shared.domain.drift.bindings import BindingDrift
from shared.domain.drift.databases import DatabaseMissing
from shared.domain.drift.decide import Later, Now, Seen, in_order, judge
from shared.domain.drift.every import AnyDrift
from shared.domain.drift.policy import OF_WORKERS, DriftKind
from shared.errors import ControlPlaneError, NoPermit, Permanent
from shared.usecases.context import Control
from shared.usecases.drift_report import read_report, report_of
from shared.usecases.drift_run import Planned, Run, RunAnswer, keep_run, read_run
from shared.usecases.findings import KeepFindings
from shared.usecases.look_for_drift import AT_ONCE, LookForDrift
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside
from shared.usecases.repair_drift import RepairDrift

__all__ = ["BUSY", "MARGIN", "Reconcile"]

MARGIN: Final = 60.0
"""A step is only begun with so many seconds left; the longest takes less."""
BUSY: Final = timedelta(minutes=5)
"""So long nobody else goes on with a pass: longer than the function runs at most."""
GIVEN_UP: Final = timedelta(days=1)
"""A pass that has not ended by then never will: the next night's sees all of it anew."""
PERMIT_WAIT: Final = 30.0

_OF_WHOLE_WORKER: Final = frozenset(OF_WORKERS) - {DriftKind.GENERATION_NOT_LIVE}
"""Kinds that explain whatever else is wrong with a pool Worker."""

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class Reconcile:
    """Reconcile a fleet; `at_once` is how many records are looked at between looks at the time."""

    control: Control
    outside: Outside
    findings: KeepFindings
    runs: Runs
    depths: Callable[[], Mapping[str, int]]
    at_once: int = AT_ONCE

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
        if isinstance(run, RunAnswer):
            return run

        def enough() -> bool:
            return time_left() >= MARGIN

        while run.todo:
            if not enough():
                return self._leave(run, "unfinished", 0)
            began = self.control.now()
            looking = Looking(self.control, self.outside, self.depths, began)
            try:
                done = self._do(run.todo[0], run, looking, trace, enough)
            except (NoPermit, RateLimited) as error:
                log.info("the pass waits for permits: %s", error)
                return self._leave(run, "waiting", max(1.0, error.retry_after or PERMIT_WAIT))
            finally:
                run.calls += looking.calls
                run.seconds += (self.control.now() - began).total_seconds()
            if not done:
                return self._leave(run, "unfinished", 0)
            run.todo.pop(0)
            run.again = False
            self._keep(run)
        return RunAnswer.of(run)

    def _begun(self, *, dry: bool) -> Run:
        now = self.control.now()
        shards = [f"bindings:{room.script}" for room in self.control.pools.shards()]
        steps = ["databases", *shards, "slots", "routes", "contents", "work", "workers", "plan"]
        if not dry:
            steps += ["keep", "repair", "mend"]
        run = Run(run_id=new_ulid(now), began=now, dry=dry, todo=[*steps, "report"])
        self._keep(run)
        if not dry:
            self.runs.leave(run.run_id, since=now, not_before=now + BUSY)
        return run

    def _taken_on(self, run_id: str) -> Run | RunAnswer:
        """Take a pass on, unless somebody has it, or it has ended, or nobody can go on with it."""
        now = self.control.now()
        if not self.runs.take_on(run_id, now, busy=BUSY):
            return self._elsewhere(run_id)
        try:
            run = read_run(self.runs, run_id)
        except Permanent as error:
            return self._given_up(run_id, now, error.reason)
        if now - run.began > GIVEN_UP:
            return self._given_up(run_id, run.began, "it has not ended within a day")
        return run

    def _given_up(self, run_id: str, began: datetime, why: str) -> RunAnswer:
        """Give a pass up; whoever waits for its report gets one that says so."""
        log.error("a pass was given up", extra={"run": run_id, "why": why})
        run = Run(run_id=run_id, began=began, dry=False, todo=[])
        run.note(f"the pass was given up: {why}; run `d1fleet reconcile`", ())
        self.runs.keep(f"{run_id}.json", report_of(run, {}, self.control.now()))
        self.runs.end(run_id)
        return RunAnswer.of(run).model_copy(update={"state": "given_up"})

    def _elsewhere(self, run_id: str) -> RunAnswer:
        """Answer for a pass that somebody else goes on with, or has ended.

        Raises:
            Permanent: nothing is known of it.
        """
        if self.runs.is_under_way(run_id):
            return RunAnswer(run=run_id, state="busy", retry_after=PERMIT_WAIT)
        key = f"{run_id}.json"
        report = read_report(self.runs, key)
        return RunAnswer(
            run=run_id,
            state="done",
            report=key,
            found=len(report["findings"]),
            repaired=report["repaired"],
            left=report["left"],
        )

    def _keep(self, run: Run) -> None:
        """Put a pass away that goes on at once; a dry one is nobody's loss."""
        if run.todo and not run.dry:
            keep_run(self.runs, run.model_copy(update={"again": True}))

    def _leave(self, run: Run, state: str, after: float) -> RunAnswer:
        """Put a pass away until later."""
        now = self.control.now()
        keep_run(self.runs, run)
        self.runs.leave(run.run_id, since=now, not_before=now + timedelta(seconds=after))
        return RunAnswer.of(run).model_copy(update={"state": state, "retry_after": after})

    def _do(
        self, step: str, run: Run, looking: Looking, trace: str, enough: Callable[[], bool]
    ) -> bool:
        """Do a step as far as the time reaches; say whether all of it is done."""
        match step:
            case "plan":
                self._plan(run)
            case "keep":
                compared = [str(kind) for kind in run.kinds()]
                self.findings(run.sightings(), compared=compared, trace=trace)
            case "repair":
                return self._repair(run, looking, trace, enough)
            case "mend":
                if any(seen.repair for seen in run.workers):
                    run.marked += self._look.after_workers(run, trace).marked
            case "report":
                self._report(run)
            case _:
                return self._look(step, run, looking, enough)
        return True

    @property
    def _look(self) -> LookForDrift:
        return LookForDrift(self.control, self.outside, self.findings, self.runs, self.at_once)

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

    def _repair(self, run: Run, looking: Looking, trace: str, enough: Callable[[], bool]) -> bool:
        """Do what is due; say whether that is all of it, or the time is up.

        The first one is done whatever the time is: a pass that stays where it is never ends.
        """
        repair_drift = RepairDrift(looking, trace, run.published())
        tried = [planned for planned in run.planned if planned.repaired is not None]
        done = {planned.drift.repair: bool(planned.repaired) for planned in tried}
        first = True
        for planned in run.planned:
            repair = planned.drift.repair
            if not planned.due or planned.repaired is not None or repair is None:
                continue
            if not first and not enough():
                return False
            first = False
            try:
                if done.get(repair):
                    repair_drift.tell(planned.drift)
                elif repair not in done:
                    # What changed since may have been changed by whoever was killed at this.
                    done[repair] = repair_drift(planned.drift, repair) or run.again
            except (NoPermit, RateLimited):
                raise
            except ControlPlaneError as error:
                run.notes.append(f"{planned.drift.summary}: not repaired: {error}")
                done.setdefault(repair, False)
            planned.repaired = done[repair]
        return True

    def _report(self, run: Run) -> None:
        """Write the report down, and what the next pass measures itself by."""
        now = self.control.now()
        states = {
            finding.fingerprint: str(finding.state)
            for finding in self.findings.standing([str(kind) for kind in DriftKind])
        }
        self.runs.keep(f"{run.run_id}.json", report_of(run, states, now))
        if run.dry:
            self.runs.end(run.run_id)
            return
        before = run.listing or self.runs.last()
        counted = before.model_dump() if before else {}
        this = {"run_id": run.run_id, "key": f"{run.run_id}.json", "finished_at": now}
        last = LastRun.model_validate(counted | this)
        self.runs.finish(last, began=run.began, repaired=run.repaired > 0)


def _one_for_each_cause(run: Run) -> list[AnyDrift]:
    """Leave out what only follows: bindings to what is gone, or of a Worker that is another's."""
    gone = {drift.ulid for drift in run.drifts if isinstance(drift, DatabaseMissing)}
    whole = {seen.subject for seen in run.workers if seen.kind in _OF_WHOLE_WORKER}
    return [
        drift
        for drift in run.drifts
        if not (isinstance(drift, BindingDrift) and (drift.ulid in gone or drift.script in whole))
    ]
