"""`d1fleet up`: the whole stack in the foreground, until it is told to stop.

In a terminal a status that moves, elsewhere plain lines. SIGINT, SIGTERM and SIGHUP end it in
order; a second one while it ends changes nothing. Should this process be killed, its children end
by themselves.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from rich.console import Console
from rich.live import Live

from local.stack import Ports, Stack, StackFailed, read_overrides
from local.status import Watcher, picture

__all__ = ["INTERRUPTED", "main"]

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED: Final = 130
"""Exit status of a stack that was told to stop before it was up."""
REFRESH: Final = 1.0


def main(
    directory: Path,
    *,
    ports: Ports | None = None,
    settings: Mapping[str, str] | None = None,
    console: Console | None = None,
    tell_ready: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> int:
    """Run the stack in a folder until told to stop; return the exit status.

    `settings` are those of the functions by their names (`POOL_TARGET`); by default they are taken
    from the environment. `tell_ready` is given what `stack.json` says, once it is up. Status 0: it
    was up and was told to stop; 1: it could not start, or a part of it ended by itself; 130: told
    to stop before it was up.
    """
    console = console or Console(highlight=False)
    given = read_overrides(os.environ) if settings is None else settings
    stack = Stack(
        directory,
        given,
        ports=ports,
        tell=lambda line: console.print(line, markup=False, soft_wrap=True),
    )
    status = INTERRUPTED
    with _interruptible():
        try:
            console.print("starting the local stack", markup=False)
            stack.start()
            status = 0
            _announce(stack, console)
            tell_ready(stack.description)
            ended = _watch(stack, console)
            console.print(f"d1fleet up: {ended}", markup=False, soft_wrap=True)
            status = 1
        except StackFailed as error:
            console.print(f"d1fleet up: {error}", markup=False, soft_wrap=True)
            status = 1
        except KeyboardInterrupt:
            console.print("stopping", markup=False)
        finally:
            stack.stop()
    return status


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first signal, ignore others; then all is as before."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _announce(stack: Stack, console: Console) -> None:
    where = stack.description
    for name, value in (
        ("webhooks", f"{where['webhooks_url']}/webhooks/auth/{{provider}}"),
        ("", f"{where['webhooks_url']}/webhooks/billing/{{provider}}"),
        ("sample app", f"{where['app_url']}/t/{{tenant}}/notes"),
        ("Cloudflare", where["cloudflare"]["base_url"]),
        ("AWS", where["aws"]["endpoint_url"]),
        ("logs", str(stack.folder / "logs")),
        ("details", str(stack.stack_file)),
    ):
        console.print(f"  {name:<11} {value}", markup=False, soft_wrap=True)
    console.print("up; stop it with Ctrl-C", markup=False)


def _watch(stack: Stack, console: Console) -> str:
    """Return only when a part of the stack has ended by itself: what, and the end of its log."""
    pause = threading.Event()
    if not (console.is_terminal and sys.stdout.isatty()):
        while (ended := stack.ended()) is None:
            pause.wait(REFRESH)
        return ended
    watcher = Watcher(stack)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while (ended := stack.ended()) is None:
            live.update(picture(watcher.look()), refresh=True)
            pause.wait(REFRESH)
    return ended
