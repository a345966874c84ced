"""`d1fleet doctor`: is everything there, reachable, and of this version?"""

from dataclasses import asdict
from typing import Final

import click

from ops.checks import examine
from ops.options import Run, command
from ops.output import Status

__all__ = ["add_doctor"]

COLUMNS: Final = {"check": "check", "status": "status", "detail": "what", "advice": "what to do"}


def add_doctor(group: click.Group) -> None:
    """Add the command to a group."""
    command(group, "doctor")(doctor)


def doctor(run: Run) -> int:
    """Check that everything is there, reachable, and as this version needs it.

    Changes nothing. Ends with status 2 when a person should look at something.
    """
    rows = [asdict(check) for check in examine(run.deployment)]
    run.output.rows(rows, COLUMNS, empty="nothing was checked")
    well = all(row["status"] == "ok" for row in rows)
    return Status.DONE if well else Status.NEEDS_A_PERSON
