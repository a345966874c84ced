"""The schedules: what was lost or overwritten is found here, and sent to those who mend it."""

from dataclasses import asdict
from functools import cache
from typing import Any
from uuid import uuid4

from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.observability import Meter, make_logger
from shared.usecases.sweep import Sweep
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("reconcile")


@cache
def _parts() -> Parts:
    return build("reconcile")


def handler(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
    """Run the task that the schedule or the operator names: `{"task": "sweep"}`."""
    task = event.get("task")
    if task != "sweep":
        raise ValueError(f"no such task: {task!r}; this function knows 'sweep'")
    parts = _parts()
    trace = str(event.get("trace") or uuid4())
    logger.append_keys(trace=trace)
    report = Sweep(parts.control, parts.outside)(trace)
    meter = Meter("reconcile")
    meter.count("SweptOverdue", report.tenants + report.databases)
    meter.count("SweptOverwritten", len(report.overwritten))
    meter.count("AlertChannelsFailing", len(report.channels_failing), fleet=parts.settings.fleet)
    # The heartbeat: an alarm fires when it is missing.
    meter.count("Reconciled", fleet=parts.settings.fleet)
    logger.info("swept", extra=asdict(report))
    return asdict(report)
