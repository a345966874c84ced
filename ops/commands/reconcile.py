"""`d1fleet reconcile`, `d1fleet drift`: compare everything now, or see what the last pass found."""

from typing import Any, Final

import click

from ops.options import Run, command
from ops.output import Status
from ops.passes import Passes
from ops.program import Failed
from ops.progress import working
from shared.domain.drift.policy import PolicyRow, Repairing, policy_rows
from shared.usecases.drift_report import read_report

__all__ = ["add_reconcile"]

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
    stuck and lost work, overwritten Workers, unsent alerts, refill of the pools. That ends with
    status 2 when a part of it could not be done, or a Worker not be seen.
    """
    if sweep and dry_run:
        raise click.UsageError("A sweep has no dry run.")
    if sweep:
        swept = Passes(run.deployment).sweep()
        run.output.thing(swept)
        # A function that was not deployed since may not say these.
        left = swept.get("unfinished") or swept.get("unanswered")
        return Status.NEEDS_A_PERSON if left else Status.DONE
    return _show(run, _whole_pass(run, dry=dry_run))


def drift(run: Run, now: bool, policy: bool) -> int:
    """Show what the last pass found, or with --now what there is at this moment.

    Ends with status 2 when drift is left.
    """
    if now and policy:
        raise click.UsageError("The policy is not of a moment: give --now or --policy.")
    if policy:
        return _show_policy(run)
    if now:
        return _show(run, _whole_pass(run, dry=True))
    runs = Passes(run.deployment).runs
    last = runs.last()
    if last is None:
        raise Failed("no pass has ended yet: run `d1fleet reconcile`, or `d1fleet drift --now`")
    return _show(run, read_report(runs, last.key))


def _whole_pass(run: Run, *, dry: bool) -> dict[str, Any]:
    with working("comparing") as say:
        return Passes(run.deployment, say).whole(dry=dry)


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
    # What was not compared is no news, and above all not good news.
    return Status.NEEDS_A_PERSON if report["left"] or report["notes"] else Status.DONE


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
