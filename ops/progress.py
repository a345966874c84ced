"""Showing that long work goes on: a moving line on a terminal, plain lines elsewhere.

It is said on standard error, so that the result stays alone on standard output.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from ops.output import console, plain

__all__ = ["watch", "working"]

LOOK_EVERY: Final = 0.5

T = TypeVar("T")


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show `what` is being done while the block runs; gives a function that changes the text."""
    to = console(sys.stderr)
    if not to.is_terminal:
        last = [""]

        def say(text: str) -> None:
            if text != last[0]:
                last[0] = text
                to.print(plain(text), markup=False)

        say(what)
        yield say
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=to, transient=True) as progress:
        task = progress.add_task(plain(what))
        yield lambda text: progress.update(task, description=plain(text))


def watch(what: str, look: Callable[[], tuple[T | None, str]]) -> T:
    """Look again and again until there is a result; show meanwhile how it stands.

    `look` returns the result, None as long as there is none, and what to show.
    """
    with working(what) as say:
        while True:
            result, stands = look()
            if result is not None:
                return result
            say(f"{what}: {stands}")
            time.sleep(LOOK_EVERY)
