"""The schedules: what was lost, overwritten or drifted is found here, and sent to who mends it."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from typing import Any
from uuid import uuid4

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.domain.channel_turns import Turns
from shared.observability import Meter, make_logger
from shared.outside_wiring import build_reconciling
from shared.usecases.after_sweep import AfterSweep
from shared.usecases.drift_run import RunAnswer
from shared.usecases.sweep import Sweep
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("reconcile")


@cache
def _parts() -> tuple[Parts, AfterSweep]:
    parts = build("reconcile")
    return parts, build_reconciling(parts.settings, parts.control, parts.outside)


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Run the task that the schedule or the operator names.

    `{"task": "sweep"}`; `{"task": "nightly"}` begins a whole pass (`"dry": true`: one that changes
    nothing), or goes on with the one named as `run`; `{"task": "settle", "run": …}` looks whether
    its repairs helped.
    """
    parts, after = _parts()
    trace = str(event.get("trace") or uuid4())
    logger.append_keys(trace=trace)

    def time_left() -> float:
        return float(context.get_remaining_time_in_millis()) / 1000

    match event.get("task"):
        case "sweep":
            return _sweep(parts, after, trace, time_left)
        case "nightly":
            run_id, dry = event.get("run"), bool(event.get("dry"))
            return _told(after.nightly(trace, time_left, run_id=run_id, dry=dry), parts)
        case "settle":
            answer = after.settled(str(event.get("run")), trace)
            _left(answer["left"])
            return answer
        case task:
            raise ValueError(f"no such task: {task!r}; known are 'sweep', 'nightly', 'settle'")


def _sweep(
    parts: Parts, after: AfterSweep, trace: str, time_left: Callable[[], float]
) -> dict[str, Any]:
    turns = Turns()
    report = Sweep(parts.control, parts.outside, turns)(trace)
    meter = Meter("reconcile")
    meter.count("SweptOverdue", report.tenants + report.databases)
    meter.count("SweptOverwritten", len(report.overwritten))
    meter.count("AlertChannelsFailing", len(report.channels_failing), fleet=parts.settings.fleet)
    _beat(meter, parts)
    hours = after.hours_without()
    if hours is not None:
        meter.count("HoursWithoutPass", hours, fleet=parts.settings.fleet)
    logger.info("swept", extra=asdict(report))
    then = after(report, trace, time_left, turns)
    for left in then.left:
        _left(left)
    for answer in then.passes:
        _told(answer, parts)
    return asdict(report)


def _beat(meter: Meter, parts: Parts) -> None:
    """Say that a sweep or a pass ended: an alarm fires when none does."""
    meter.count("Reconciled", fleet=parts.settings.fleet)


def _left(count: int) -> None:
    """Measure what is left of what a pass found, now that its repairs were seen to."""
    Meter("reconcile").count("DriftLeft", count)


def _told(answer: RunAnswer, parts: Parts) -> dict[str, Any]:
    """Say how a pass stands; measure it once it is done."""
    told = answer.model_dump(mode="json")
    logger.info("reconciled", extra={**told, "databases": answer.compared.get("databases", 0)})
    if answer.state == "done":
        meter = Meter("reconcile")
        meter.figures(
            {
                "DriftCompared": answer.compared.get("databases", 0),
                "DriftFound": answer.found,
                "DriftRepaired": answer.repaired,
                "DriftLeft": answer.left,
                "DriftRestCalls": answer.calls,
            },
            seconds={"DriftSeconds": answer.seconds},
        )
        _beat(meter, parts)
    return told
