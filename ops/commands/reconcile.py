"""`d1fleet reconcile`, `d1fleet drift`: compare everything now, or see what the last pass found."""

import json
import time
from typing import Any, Final

import boto3
import click
from botocore.config import Config

from ops.context import FUNCTION_OUTPUT
from ops.options import Run, command
from ops.output import Status
from ops.program import Failed
from ops.progress import watch, working
from shared.aws.runs import Runs, connect_runs
from shared.domain.drift.policy import PolicyRow, Repairing, policy_rows

__all__ = ["add_reconcile"]

_ONCE: Final = Config(connect_timeout=5, read_timeout=300, retries={"total_max_attempts": 1})
"""A pass takes up to four minutes, and asking twice would only make two of them."""
PATIENCE: Final = 120.0
"""Seconds to wait for repairs; what takes longer is seen to by the sweep."""
LOOKS: Final = (2.0, 3.0, 5.0, 10.0)

COLUMNS: Final = {
    "severity": "severity",
    "kind": "kind",
    "tenant_id": "tenant",
    "database_name": "database",
    "repair": "repair",
    "state": "state",
    "summary": "what",
}
POLICY_COLUMNS: Final = {
    "kind": "kind",
    "policy": "policy",
    "default": "by default",
    "when": "repaired",
}


def add_reconcile(group: click.Group) -> None:
    """Add the commands to a group."""
    sweep = click.option("--sweep", is_flag=True, help="Only find overdue and lost work.")
    dry = click.option("--dry-run", is_flag=True, help="Change nothing and tell nobody.")
    command(group, "reconcile")(sweep(dry(reconcile)))
    now = click.option("--now", is_flag=True, help="Look now, changing nothing.")
    policy = click.option("--policy", is_flag=True, help="Show what is done about each kind.")
    command(group, "drift")(now(policy(drift)))


def reconcile(run: Run, sweep: bool, dry_run: bool) -> int:
    """Compare everything now, repair what the policy allows, and wait for that.

    Ends with status 2 when drift is left. With --sweep it does what is done every five minutes:
    stuck and lost work, overwritten Workers, unsent alerts, refill of the pools.
    """
    if sweep and dry_run:
        raise click.UsageError("A sweep has no dry run.")
    function = run.deployment.output(FUNCTION_OUTPUT)
    if sweep:
        run.output.thing(_invoke(function, {"task": "sweep"}))
        return Status.DONE
    report = _whole_pass(run, function, dry=dry_run)
    return _show(run, report)


def drift(run: Run, now: bool, policy: bool) -> int:
    """Show what the last pass found, or with --now what there is at this moment.

    Ends with status 2 when drift is left.
    """
    if policy:
        return _show_policy(run)
    if now:
        return _show(run, _whole_pass(run, run.deployment.output(FUNCTION_OUTPUT), dry=True))
    last = _runs(run).last()
    if last is None:
        raise Failed("no pass has ended yet: run `d1fleet reconcile`, or `d1fleet drift --now`")
    return _show(run, _runs(run).read(last.key))


def _whole_pass(run: Run, function: str, *, dry: bool) -> dict[str, Any]:
    """Have a pass done, over as many invocations as it takes; return its report."""
    payload: dict[str, Any] = {"task": "nightly", "dry": dry}
    with working("comparing") as say:
        while True:
            answer = _invoke(function, payload)
            if answer["state"] == "done":
                break
            payload = {"task": "nightly", "run": answer["run"]}
            say(f"comparing: {answer['state']}, next {answer['step'] or 'the rest'}")
            time.sleep(float(answer["retry_after"]))
    if not dry and answer["repaired"]:
        _settle(function, answer["run"])
    return _runs(run).read(answer["report"])


def _settle(function: str, run_id: str) -> None:
    """Wait until the repairs of a pass were seen to help, as long as one may wait."""
    end = time.monotonic() + PATIENCE
    looks = iter(LOOKS)

    def look() -> tuple[dict[str, Any] | None, str]:
        answer = _invoke(function, {"task": "settle", "run": run_id})
        if answer["waiting"] == 0 or time.monotonic() > end:
            return answer, ""
        time.sleep(next(looks, LOOKS[-1]))
        return None, f"{answer['waiting']} to go"

    watch("repairing", look)


def _runs(run: Run) -> Runs:
    deployment = run.deployment
    return connect_runs(deployment.parts.control.state.table, deployment.settings.bucket_name)


def _show(run: Run, report: dict[str, Any]) -> int:
    """Print a report; say by the status whether drift is left."""
    if run.output.as_json:
        run.output.thing(report)
    else:
        compared = ", ".join(f"{count} {what}" for what, count in report["compared"].items())
        run.output.note(
            f"{report['finished_at'][:19]}Z: compared {compared or 'nothing'}"
            f" in {report['seconds']:.1f} s with {report['rest_calls']} REST calls"
        )
        for note in report["notes"]:
            run.output.note(note)
        run.output.rows(report["findings"], COLUMNS, empty="no drift")
        if report["findings"]:
            run.output.note(f"{report['repaired']} repaired, {report['left']} left")
    return Status.NEEDS_A_PERSON if report["left"] else Status.DONE


def _show_policy(run: Run) -> int:
    rows = [
        {
            "kind": str(row.kind),
            "policy": str(row.repairing),
            "default": str(row.default),
            "when": _when(row),
        }
        for row in policy_rows(run.deployment.settings.policy)
    ]
    run.output.rows(rows, POLICY_COLUMNS, empty="")
    return Status.DONE


def _when(row: PolicyRow) -> str:
    """Say when a kind is repaired, for people."""
    if row.repairing is not Repairing.AUTO:
        return "by a person"
    return "at first sight" if row.at_first_sight else "after two passes and a day"


def _invoke(function: str, payload: dict[str, Any]) -> dict[str, Any]:
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
