"""The reconciler as its door sees it: passes, repairs to see to, and what the sweep does of both.

After a sweep it has what is left of the invocation: what it can't do then waits for the next.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shared.domain.channel_turns import Turns
from shared.domain.drift.decide import in_order
from shared.domain.drift.policy import DriftKind
from shared.errors import ControlPlaneError
from shared.usecases.drift_run import RunAnswer
from shared.usecases.gather_work import look_at_pools, look_at_queues
from shared.usecases.looking import Looking
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from shared.usecases.sweep import SweepReport
from shared.usecases.tell import Tell

__all__ = ["AfterSweep"]

_COMPARED: Final = (DriftKind.POOL_LOW, DriftKind.DLQ_NOT_EMPTY)
"""Kinds that cost next to nothing to look for."""

log = logging.getLogger("d1fleet")


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
    ) -> list[RunAnswer]:
        """Tell of what the sweep saw, see to repairs, and go on with unfinished passes.

        `turns` are those that the sweep gave the channels of alerts. Returns the passes that it
        went on with.
        """
        parts: dict[str, Callable[[], Any]] = {
            "findings": lambda: self._tell(swept, trace),
            "repairs": lambda: self._settle(trace, turns),
        }
        for name, part in parts.items():
            try:
                part()
            except ControlPlaneError:
                log.exception("the sweep could not finish a part", extra={"part": name})
        answers = []
        for run_id in list(self.reconcile.runs.unfinished()):
            try:
                answers.append(self.nightly(trace, time_left, run_id=run_id, turns=turns))
            except ControlPlaneError:
                log.exception("an unfinished pass has to wait", extra={"run": run_id})
        return answers

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

    def _settle(self, trace: str, turns: Turns | None) -> None:
        last = self.reconcile.runs.last()
        if last is not None and last.to_settle:
            self.settled(last.run_id, trace, turns=turns)
