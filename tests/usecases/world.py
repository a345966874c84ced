"""A whole control plane in one process, with a clock of its own.

The table is moto's, Cloudflare is the emulator with real workerd behind it, the router is the real
one. Only the queues are ours: they keep messages with the time at which they are due, so that a
test decides what is delivered when, how often, and in which order.
"""

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from shared.aws.queues import MAX_DELAY
from shared.domain.messages import LONG_WORK, Kind, Message
from shared.domain.outcomes import Outcome
from shared.doors import Handler, handle
from shared.observability import Meter
from shared.usecases.advance_database import AdvanceDatabase
from shared.usecases.advance_tenant import AdvanceTenant
from shared.usecases.context import Control
from shared.usecases.outside import Outside
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.refill_pool import RefillPool
from shared.usecases.worker_code import WorkerCode
from tests.usecases.killing import Executioner, Killed


class Clock:
    """Tell a time that moves only when told to."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        """Return the present moment; each look takes a microsecond, so that no two are equal."""
        self.moment += timedelta(microseconds=1)
        return self.moment

    def pass_(self, **delta: float) -> None:
        """Let time pass."""
        self.moment += timedelta(**delta)


@dataclass
class Waiting:
    """Keep messages until they are due."""

    clock: Clock
    heap: list[tuple[datetime, int, str, Message]] = field(default_factory=list)
    numbers: itertools.count = field(default_factory=itertools.count)
    sent: Callable[[str], None] = lambda _: None

    def send(self, messages: Sequence[Message], *, after: float = 0) -> None:
        """Take work messages, as the real queues do."""
        due = self.clock() + timedelta(seconds=min(MAX_DELAY, max(0, -int(-after // 1))))
        for message in messages:
            self._push(due, "work", message)

    def wake(self, script: str, trace: str) -> None:
        """Take a wake-up of a publisher."""
        self._push(self.clock(), "bind", Message(kind="shard", id=script, trace=trace))

    def _push(self, due: datetime, queue: str, message: Message) -> None:
        heapq.heappush(self.heap, (due, next(self.numbers), queue, message))
        self.sent(f"send {message.kind}")

    def again(self, queue: str, message: Message) -> None:
        """Let a message that nobody acknowledged come back after its visibility timeout."""
        seconds = 5400 if message.kind in LONG_WORK else 180
        due = self.clock() + timedelta(seconds=seconds)
        # As the door does with what SQS delivers for a second time.
        message = message.model_copy(update={"token": None})
        heapq.heappush(self.heap, (due, next(self.numbers), queue, message))

    def next(self) -> tuple[str, Message] | None:
        """Return the message that is due first, letting the time until then pass."""
        if not self.heap:
            return None
        due, _, queue, message = heapq.heappop(self.heap)
        self.clock.moment = max(self.clock.moment, due)
        return queue, message


@dataclass
class World:
    """Hold one control plane and run it by hand.

    `long_work` handles the backup queue, `settle` waits until what was deployed runs.
    """

    control: Control
    outside: Outside
    clock: Clock
    queues: Waiting
    executioner: Executioner
    long_work: dict[Kind, Handler] = field(default_factory=dict)
    settle: Callable[[], object] = lambda: None

    def deliver(self, queue: str, message: Message) -> Outcome | None:
        """Let the right function work on one message."""
        control, outside = self.control, self.outside
        if queue == "bind":
            # The clock here does not wait for what really runs: asking again and again would be
            # as many side effects as the machine is slow.
            self.settle()
            publish = PublishWorker(control, outside, WorkerCode())
            return handle(control, Meter("test"), {"shard": publish}, message)
        if message.kind == "shard":
            self.queues.wake(message.id, message.trace)
            return None
        handlers: dict[Kind, Handler] = {
            "tenant": AdvanceTenant(control, outside),
            "database": AdvanceDatabase(control, outside),
            "pool": RefillPool(control),
            **self.long_work,
        }
        return handle(control, Meter("test"), handlers, message)

    def run(self, until: Callable[[], bool] | None = None, *, most: int = 300) -> None:
        """Deliver what is due, in order, until nothing is left or a condition holds."""
        for _ in range(most):
            if until is not None and until():
                return
            item = self.queues.next()
            if item is None:
                assert until is None, "nothing is left to deliver and the condition does not hold"
                return
            try:
                self.deliver(*item)
            except Killed:
                self.queues.again(*item)
        raise AssertionError(f"still going after {most} messages")
