"""How the demo tells its story: one line a step, marked by how it ended."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from rich.console import Console

from ops.demo.senders import DemoFailed
from shared.errors import ControlPlaneError

__all__ = ["Row", "Teller"]


@dataclass
class Row:
    """Hold what it took until a tenant was live, in seconds from the webhook's sending."""

    tenant_id: str
    path: str
    answered: float
    live: float
    calls: str


@dataclass(frozen=True)
class Teller:
    """Tell on a console."""

    console: Console

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Tell that the block was done, and how long it took, or that it failed."""
        started = time.monotonic()
        try:
            yield
        except (DemoFailed, ControlPlaneError, httpx.HTTPError):
            self.console.print(f"[red]✗[/red] {what}")
            raise
        seconds = time.monotonic() - started
        self.console.print(f"[green]✓[/green] {what} [dim]({seconds:.2f} s)[/dim]")

    def note(self, text: str) -> None:
        """Tell something besides."""
        self.console.print(f"  [dim]{text}[/dim]")

    def rule(self, text: str) -> None:
        """Tell that another part begins."""
        self.console.rule(text)
