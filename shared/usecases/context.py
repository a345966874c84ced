"""What the use cases stand on, handed to them: nothing here is looked up from the environment."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.aws.breaker import BreakerStore
from shared.aws.fleet import FleetStore
from shared.aws.items import HistoryLine
from shared.aws.outbox import Outbox
from shared.aws.pools import Pools
from shared.aws.queues import Queues
from shared.aws.state import State
from shared.aws.subscriptions import Subscriptions
from shared.domain.messages import Kind, Message
from shared.errors import Transient
from shared.settings import Settings

__all__ = ["Control", "backoff", "deliver_now", "enqueue_quietly"]

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class Control:
    """Hold the parts that every use case of the control plane works with.

    `who` names the function or operator in histories; `now` is the clock.
    """

    settings: Settings
    now: Callable[[], datetime]
    state: State
    pools: Pools
    fleet: FleetStore
    queues: Queues
    outbox: Outbox
    who: str

    @property
    def breaker(self) -> BreakerStore:
        """Return the breaker of deletes."""
        return BreakerStore(self.state.table)

    @property
    def subscriptions(self) -> Subscriptions:
        """Return what is written down of subscriptions."""
        return Subscriptions(self.state.table)

    def line(self, what: str, *, why: str = "", call: str = "", trace: str = "") -> HistoryLine:
        """Return a line of history of this moment and this actor."""
        return HistoryLine(self.now(), self.who, what, why=why, call=call, trace=trace)

    def enqueue(self, kind: Kind, *ids: str, trace: str, after: float = 0) -> None:
        """Say that these things want attention."""
        self.queues.send([Message(kind=kind, id=id_, trace=trace) for id_ in ids], after=after)


def backoff(failures: int, asked: float | None = None) -> float:
    """Return how long to wait after so many failures in a row, in seconds.

    What the other side asked for counts; without it 1, 2, 4 … up to 300.
    """
    own = min(300.0, 2.0 ** min(failures, 9))
    return max(own, asked or 0.0)


def enqueue_quietly(control: Control, kind: Kind, *ids: str, trace: str) -> None:
    """Say that these things want attention; if the queue refuses, the sweep will find them."""
    try:
        control.enqueue(kind, *ids, trace=trace)
    except Transient as error:
        log.warning("a message was not sent, the sweep will: %s", error)


def deliver_now(control: Control, row: dict[str, object]) -> None:
    """Send an event at once; if that fails, the sweep sends it."""
    try:
        control.outbox.deliver(dict(row))
    except Transient as error:
        log.warning("an event was not sent, the sweep will: %s", error)
