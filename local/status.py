"""What the local stack is doing, for the terminal of `d1fleet up`."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Group, RenderableType
from rich.table import Table

from local.aws.deploy import client
from local.functions.lambda_service import Counts
from local.stack import Stack

__all__ = ["Look", "Watcher", "picture"]

_DEPTHS: Final = {
    "ApproximateNumberOfMessages": "waiting",
    "ApproximateNumberOfMessagesNotVisible": "in hand",
    "ApproximateNumberOfMessagesDelayed": "delayed",
}


@dataclass(frozen=True)
class Look:
    """Hold what was seen at one moment; what did not answer is missing."""

    functions: dict[str, Counts]
    queues: dict[str, dict[str, int]] = field(default_factory=dict)
    cloudflare: dict[str, Any] = field(default_factory=dict)


class Watcher:
    """Look at a running stack."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._sqs = client("sqs", stack.description["aws"]["endpoint_url"])

    def look(self) -> Look:
        """Return what is to be seen now; never raises because something does not answer."""
        return Look(self._functions(), self._queues(), self._cloudflare())

    def _functions(self) -> dict[str, Counts]:
        counts = self._stack.service.counts()
        return {short: counts[name] for short, name in self._stack.functions.items()}

    def _queues(self) -> dict[str, dict[str, int]]:
        depths = {}
        for name, url in self._stack.description["aws"]["queues"].items():
            try:
                found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_DEPTHS))
            except (BotoCoreError, ClientError):
                continue
            depths[name] = {key: int(found["Attributes"][key]) for key in _DEPTHS}
        return depths

    def _cloudflare(self) -> dict[str, Any]:
        url = f"{self._stack.description['cloudflare']['control_url']}/stats"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
                seen: dict[str, Any] = json.load(answer)
                return seen
        except (OSError, ValueError):
            return {}


def picture(look: Look) -> RenderableType:
    """Return what the terminal shows."""
    functions = Table("function", "calls", "errors", "processes started", box=None)
    for name, counts in look.functions.items():
        errors = f"[red]{counts.errors}[/red]" if counts.errors else "0"
        functions.add_row(name, str(counts.invocations), errors, str(counts.environments))
    queues = Table("queue", *_DEPTHS.values(), box=None)
    for name, depths in look.queues.items():
        queues.add_row(name, *(str(depth) for depth in depths.values()))
    calls = look.cloudflare.get("total", "?")
    limited = look.cloudflare.get("rate_limited", "?")
    return Group(
        "", functions, "", queues, "", f"Cloudflare calls: {calls}, turned away: {limited}"
    )
