"""`d1fleet demo`: run the whole stack in a folder of its own, tell the story, and clean up."""

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import httpx
from rich.console import Console

from ops.context import Where, find_deployment
from ops.demo.senders import DemoFailed
from ops.demo.story import Story
from ops.output import Status
from shared.usecases.overviews import pool_rows

if TYPE_CHECKING:
    from local.stack import Stack

__all__ = ["add_demo"]


def add_demo(group: click.Group) -> None:
    """Add the command to a group."""
    group.command("demo")(demo)


def demo() -> int:
    """Watch signed signups become live tenants, everything on this machine.

    Starts the stack with a pool of three, and stops it. Exit status 0: all went as it should.
    """
    # Here and not above: the emulators take a second to import, and no other command needs them.
    from local.stack import Stack, StackFailed  # noqa: PLC0415

    console = Console(highlight=False)
    folder = Path(tempfile.mkdtemp(prefix="d1fleet-demo-"))
    started = time.monotonic()
    console.rule("d1fleet: a database for every tenant")
    try:
        with Stack(folder, tell=lambda line: console.print(f"  [dim]{line}[/dim]")) as stack:
            _tell(console, stack)
    except (StackFailed, DemoFailed, httpx.HTTPError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        console.print(f"The logs are in {folder / '.d1fleet' / 'logs'}")
        return Status.FAILED
    shutil.rmtree(folder)
    console.print(f"All as it should be, in {time.monotonic() - started:.0f} s. Next: make up")
    return Status.DONE


def _tell(console: Console, stack: "Stack") -> None:
    control = find_deployment(Where(), stack.folder.parent).parts.control
    Story(console, stack.description, lambda: sum(row.ready for row in pool_rows(control))).tell()
