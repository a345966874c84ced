"""The reconciler as its door sees it: passes, repairs to see to, and what the sweep does of both.

After a sweep it has what is left of the invocation: what it can't do then waits for the next.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.channel_turns import Turns
from shared.domain.drift.decide import in_order
from shared.domain.drift.policy import DriftKind
from shared.errors import ControlPlaneError, Permanent
from shared.usecases.drift_run import RunAnswer
from shared.usecases.gather_work import look_at_pools, look_at_queues
from shared.usecases.looking import Looking
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from shared.usecases.sweep import SweepReport
from shared.usecases.tell import Tell

__all__ = ["AfterReport", "AfterSweep"]

_COMPARED: Final = (DriftKind.POOL_LOW, DriftKind.DLQ_NOT_EMPTY)
"""Kinds that cost next to nothing to look for."""

log = logging.getLogger("d1fleet")


@dataclass
class AfterReport:
    """Tell which passes went on, and of those whose repairs were seen to, how much is left."""

    passes: list[RunAnswer] = field(default_factory=list)
    left: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class AfterSweep:
    """Begin passes, and look after what they left."""

    reconcile: Reconcile
    settle: SettleRepairs

    def __call__(
        self,
        swept: SweepReport,
        trace: str,
        time_left: Callable[[], float],
        turns: Turns | None = None,
    ) -> AfterReport:
        """Tell of what the sweep saw, see to repairs, and go on with unfinished passes.

        `turns` are those that the sweep gave the channels of alerts. What could not be done is put
        with what the sweep left unfinished.
        """
        after = AfterReport()
        parts: dict[str, Callable[[], Any]] = {
            "findings": lambda: self._tell(swept, trace),
            "repairs": lambda: after.left.extend(self._settle(trace, turns)),
        }
        for name, part in parts.items():
            try:
                part()
            except ControlPlaneError:
                log.exception("the sweep could not finish a part", extra={"part": name})
                swept.unfinished.append(name)
        for run_id in list(self.reconcile.runs.unfinished()):
            try:
                answer = self.nightly(trace, time_left, run_id=run_id, turns=turns)
                after.passes.append(answer)
            except ControlPlaneError:
                log.exception("an unfinished pass has to wait", extra={"run": run_id})
                swept.unfinished.append(f"pass {run_id}")
        return after

    def hours_without(self) -> float | None:
        """Return for how long no real pass has ended, counted from `init` before the first.

        None while the fleet is not set up.

        Raises:
            Transient: the table does not answer.
        """
        control, last = self.reconcile.control, self.reconcile.runs.last()
        fleet = control.fleet.read()
        if fleet is None:
            return None
        since = fleet.created_at if last is None else last.finished_at
        return (control.now() - since).total_seconds() / 3600

    def nightly(
        self,
        trace: str,
        time_left: Callable[[], float],
        *,
        run_id: str | None = None,
        dry: bool = False,
        turns: Turns | None = None,
    ) -> RunAnswer:
        """Begin a pass, or go on with one, and send what it has to tell."""
        answer = self.reconcile(trace=trace, time_left=time_left, run_id=run_id, dry=dry)
        if not dry:
            self._send(trace, turns)
        return answer

    def settled(self, run_id: str, trace: str, *, turns: Turns | None = None) -> dict[str, Any]:
        """See to the repairs of a pass, and send what that has to tell."""
        answer = self.settle(run_id, trace)
        self._send(trace, turns)
        return answer

    def _send(self, trace: str, turns: Turns | None) -> None:
        """Send the alerts that wait; who pays for a pass need not wait for the sweep."""
        channels = self.reconcile.outside.channels()
        Tell(self.reconcile.control, channels, turns or Turns())(trace)

    def _tell(self, swept: SweepReport, trace: str) -> None:
        control = self.reconcile.control
        depths = self.reconcile.depths
        looking = Looking(control, self.reconcile.outside, depths, control.now())
        found = [*look_at_queues(depths()), *look_at_pools(looking)]
        drifts = in_order(found, control.settings.policy)
        self.reconcile.findings(
            [*swept.sightings, *(drift.sighting() for drift in drifts)],
            compared=[*swept.resolvable, *(str(kind) for kind in _COMPARED)],
            trace=trace,
        )

    def _settle(self, trace: str, turns: Turns | None) -> Iterator[int]:
        """See to the repairs of each pass that has some; yield what is left of what it found."""
        runs = self.reconcile.runs
        for run_id in list(runs.to_settle()):
            try:
                yield int(self.settled(run_id, trace, turns=turns)["left"])
            except Permanent:
                # The next pass looks at all of it anew; this one would fail every sweep until then.
                log.exception("nobody can see to a pass's repairs", extra={"run": run_id})
                runs.settled(run_id)
