"""`d1fleet demo`: run the whole stack in a folder of its own, tell the story, and clean up."""

import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import httpx
from rich.console import Console

from ops.context import Where, find_deployment
from ops.demo.senders import DemoFailed
from ops.demo.story import Story
from ops.demo.telling import Row
from ops.output import Status, to_json
from shared.errors import ControlPlaneError

if TYPE_CHECKING:
    from local.stack import Stack

__all__ = ["add_demo"]

SETTINGS: Final = {
    # What takes days and minutes elsewhere.
    "GRACE_PERIOD": "PT3S",
    "ACCESS_SETTLE": "PT1S",
    "PUBLISH_SETTLE": "PT1S",
    # Small, so that there are two shards: one is deployed over while the other serves.
    "SHARD_CAPACITY": "5",
}


def add_demo(group: click.Group) -> None:
    """Add the command to a group."""
    option = click.option("--json", "as_json", is_flag=True, help="Print what it took as JSON.")
    option(group.command("demo")(demo))


def demo(*, as_json: bool) -> int:
    """Watch tenants sign up, leave and come back, and meddling mended, all on this machine.

    Starts the stack with a pool of three, and stops it. Exit status 0: all went as it should. With
    --json the story goes to standard error, and what each took is printed at the end.
    """
    # Here and not above: the emulators take a second to import, and no other command needs them.
    from local.stack import Stack, StackFailed  # noqa: PLC0415

    console = Console(stderr=as_json, highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="d1fleet-demo-"))
    started = time.monotonic()
    console.rule("d1fleet: a database for every tenant")
    try:
        with Stack(
            folder, SETTINGS, tell=lambda line: console.print(f"  [dim]{line}[/dim]")
        ) as stack:
            rows = _tell(console, stack)
    except (StackFailed, DemoFailed, ControlPlaneError, httpx.HTTPError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        console.print(f"The logs are in {folder / '.d1fleet' / 'logs'}")
        if as_json:
            click.echo(to_json({"error": str(error), "exit_status": int(Status.FAILED)}))
        return Status.FAILED
    shutil.rmtree(folder)
    console.print(f"All as it should be, in {time.monotonic() - started:.0f} s. Next: make up")
    if as_json:
        click.echo(to_json([asdict(row) for row in rows]))
    return Status.DONE


def _tell(console: Console, stack: "Stack") -> list[Row]:
    deployment = find_deployment(Where(), stack.folder.parent)
    story = Story(console, stack.description, deployment)
    story()
    return story.rows
