"""`d1fleet parked`: subscriptions of which nobody knows yet whose they are."""

from datetime import timedelta
from typing import Any, Final

import click

from ops.options import Run, command
from ops.output import Status
from ops.rows import subscription_row
from shared.usecases.review_billing import PATIENCE, list_parked

__all__ = ["add_parked"]

COLUMNS: Final = {
    "provider": "provider",
    "mode": "mode",
    "subscription_id": "subscription",
    "customer_id": "customer",
    "tenant_id": "says it is of",
    "standing": "standing",
    "first_seen_at": "first seen",
    "age_seconds": "age",
}


def add_parked(group: click.Group) -> None:
    """Add the command to a group."""
    command(group, "parked")(parked)


def parked(run: Run) -> int:
    """List subscriptions that wait for their tenant, the oldest first.

    They are applied by themselves once it signs up, or an event says whose they are. Ends with
    status 2 if one waits for more than a day.
    """
    control = run.deployment.parts.control
    now = control.now()
    found = list_parked(control)
    rows: list[dict[str, Any]] = []
    for one in found:
        waits = now - one.first_seen_at
        seconds = int(waits.total_seconds())
        age = seconds if run.output.as_json else str(timedelta(seconds=seconds))
        rows.append({**subscription_row(one), "age_seconds": age})
    run.output.rows(rows, COLUMNS, empty="nothing is parked")
    late = any(now - one.first_seen_at >= PATIENCE for one in found)
    return Status.NEEDS_A_PERSON if late else Status.DONE
