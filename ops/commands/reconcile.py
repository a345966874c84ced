"""`d1fleet reconcile`: let the reconcile function do its work now, not at its next schedule."""

import json
from typing import Any, Final

import boto3
import click
from botocore.config import Config

from ops.context import FUNCTION_OUTPUT
from ops.options import Run, command
from ops.program import Failed

__all__ = ["add_reconcile"]

_ONCE: Final = Config(connect_timeout=5, read_timeout=300, retries={"total_max_attempts": 1})
"""A sweep takes up to four minutes, and asking twice would only make two of them."""


def add_reconcile(group: click.Group) -> None:
    """Add the command to a group."""
    option = click.option("--sweep", is_flag=True, help="Find overdue and lost work, and wake it.")
    command(group, "reconcile")(option(reconcile))


def reconcile(run: Run, sweep: bool) -> None:
    """Run the reconcile function now and print its report.

    With --sweep: stuck and lost work, changed Workers, unsent alerts, refill of the pools.
    """
    if not sweep:
        raise click.UsageError("Say what to do: --sweep.")
    report = _invoke(run.deployment.output(FUNCTION_OUTPUT), {"task": "sweep"})
    run.output.thing(report)


def _invoke(function: str, payload: dict[str, str]) -> dict[str, Any]:
    api = boto3.client("lambda", config=_ONCE)
    answer = api.invoke(FunctionName=function, Payload=json.dumps(payload).encode())
    try:
        report = json.loads(answer["Payload"].read() or b"null")
    except ValueError as error:
        raise Failed(f"function {function} answered no JSON: see its log") from error
    if "FunctionError" in answer:
        said = report.get("errorMessage", "") if isinstance(report, dict) else ""
        raise Failed(f"function {function} failed: {said or 'see its log'}")
    return report if isinstance(report, dict) else {"report": report}
