"""`d1fleet breaker …`: what stops too many databases from being deleted at once."""

from typing import Any, Final

import click

from ops.asking import confirm
from ops.options import Run, command
from ops.output import Status
from shared.usecases.brakes import confirm_deletes
from shared.usecases.breaker_report import breaker_report

__all__ = ["breaker"]

LABELS: Final = {
    "open": "open",
    "reason": "reason",
    "opened_at": "since",
    "done": "deleted in 24 h",
    "due": "due in 24 h",
    "most": "at most in 24 h",
    "allowed_until": "confirmed until",
}


@click.group()
def breaker() -> None:
    """See whether deletes are stopped, and let them go on."""


@command(breaker, "status")
def status(run: Run) -> int:
    """Show whether deletes are stopped and why, and how many were, are due and may be.

    Ends with status 2 when they are stopped.
    """
    row = _row(run)
    run.output.thing(row, LABELS)
    return Status.NEEDS_A_PERSON if row["open"] else Status.DONE


@command(breaker, "reset")
@click.option("--yes", is_flag=True, help="Don't ask.")
def reset(run: Run, yes: bool) -> None:
    """Let as many databases be deleted within 24 hours as are due by then.

    Look first whose databases they are: `d1fleet tenants list --status closing`. It is a number
    that is confirmed: whoever becomes due meanwhile counts, and more than that stop them all again.
    """
    control, trace = run.deployment.parts.control, run.deployment.trace
    due = breaker_report(control).due
    confirm(f"let {due} tenants' databases be deleted within 24 hours, each once proven", yes=yes)
    confirmed = confirm_deletes(control, trace)
    run.output.result(
        _row(run) | {"confirmed": confirmed}, f"{confirmed} deletes within 24 hours are confirmed"
    )


def _row(run: Run) -> dict[str, Any]:
    report = breaker_report(run.deployment.parts.control)
    return {name: getattr(report, name) for name in LABELS}
