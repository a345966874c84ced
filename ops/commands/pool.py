"""`d1fleet pool …`: how many databases are ready, and making more."""

import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ops.options import Run, command
from ops.output import Status, console
from ops.program import Failed
from shared.usecases.context import Control
from shared.usecases.fill_pool import fill_pools
from shared.usecases.overviews import PoolRow, pool_rows

__all__ = ["pool"]

COLUMNS: Final = {
    "class": "class",
    "target": "target",
    "ready": "ready",
    "making": "making",
    "claimed": "claimed",
    "waiting": "waiting",
    "quarantined": "quarantined",
    "reason": "does not fill because",
}
LOOK_EVERY: Final = 0.5


def row_of(row: PoolRow) -> dict[str, Any]:
    """Return what scripts see of a pool."""
    return {
        "class": row.class_,
        "target": row.target,
        "ready": row.ready,
        "making": row.making,
        "claimed": row.claimed,
        "waiting": row.waiting,
        "quarantined": row.quarantined,
        "reason": row.reason,
        "blocked_since": row.blocked_since,
    }


@click.group()
def pool() -> None:
    """See the pools of ready databases, and fill them."""


@command(pool, "status")
def status(run: Run) -> None:
    """Show each class's pool, and why it does not fill if it does not."""
    _print(run, pool_rows(run.deployment.parts.control))


@command(pool, "fill")
@click.argument("classes", metavar="[CLASS]...", nargs=-1)
@click.option("--wait", "seconds", type=click.IntRange(min=1), help="Wait so long until full.")
def fill(run: Run, classes: tuple[str, ...], seconds: int | None) -> int:
    """Fill the pools up to their target now.

    What stopped a pool is tried again at once. Ends with status 2 if with --wait a pool is still
    not full.
    """
    deployment = run.deployment
    control = deployment.parts.control
    asked = fill_pools(control, classes, deployment.trace)
    rows = [row for row in pool_rows(control) if row.class_ in asked]
    if seconds is None:
        _print(run, rows)
        return Status.DONE
    rows = _wait(control, asked, seconds)
    _print(run, rows)
    if blocked := [row for row in rows if row.reason]:
        raise Failed(f"the pool of class {blocked[0].class_} does not fill: {blocked[0].reason}")
    return Status.DONE if _full(rows) else Status.NEEDS_A_PERSON


def _print(run: Run, rows: Sequence[PoolRow]) -> None:
    run.output.rows([row_of(row) for row in rows], COLUMNS, empty="this fleet has no classes")


def _full(rows: Sequence[PoolRow]) -> bool:
    return all(row.ready >= row.target for row in rows)


def _wait(control: Control, classes: Sequence[str], seconds: int) -> list[PoolRow]:
    """Watch the pools until they are full, are stopped, or the time is up."""
    until = time.monotonic() + seconds
    to = console(sys.stderr)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=to
    ) as progress:
        tasks = {name: progress.add_task(f"class {name}") for name in classes}
        while True:
            rows = [row for row in pool_rows(control) if row.class_ in tasks]
            for row in rows:
                done = min(row.ready, row.target)
                progress.update(tasks[row.class_], completed=done, total=row.target)
            stopped = any(row.reason for row in rows)
            if stopped or _full(rows) or time.monotonic() > until:
                return rows
            time.sleep(LOOK_EVERY)
