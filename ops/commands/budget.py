"""`d1fleet budget`: how many calls may still go to Cloudflare's API."""

from typing import Any, Final

import click

from ops.options import Run, command
from ops.output import plain
from shared.aws.budget import DynamoBudget
from shared.domain.budget import BudgetLimits, BudgetReport

__all__ = ["add_budget"]

COLUMNS: Final = {
    "lane": "lane",
    "left": "left now",
    "most": "at most at once",
    "used": "used ever",
}


def add_budget(group: click.Group) -> None:
    """Add the command to a group."""
    command(group, "budget")(budget)


def budget(run: Run) -> None:
    """Show how many calls each lane may make now, and whether the budget is closed."""
    settings, control = run.deployment.settings, run.deployment.parts.control
    limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
    report = DynamoBudget(control.state.table, limits, clock=control.now).state()
    lanes = [
        {"lane": str(lane.lane), "left": lane.left, "most": lane.most, "used": lane.used}
        for lane in report.lanes
    ]
    if run.output.as_json:
        run.output.thing(_whole(report, lanes))
        return
    run.output.note(
        f"{report.allowed} calls in {report.window_seconds} s are ours, of {report.limit}"
    )
    if report.closed_until is not None:
        run.output.note(f"closed until {plain(report.closed_until)}: {report.closed_by}")
    run.output.rows(lanes, COLUMNS, empty="")


def _whole(report: BudgetReport, lanes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "limit": report.limit,
        "window_seconds": report.window_seconds,
        "allowed": report.allowed,
        "open": report.closed_until is None,
        "closed_until": report.closed_until,
        "closed_by": report.closed_by or None,
        "lanes": lanes,
    }
