"""What a queue's door does with an outcome: the one place that knows SQS's side of it.

`Done` and `GaveUp` are acknowledged (what was given up is stored where people look), `RetryLater`
becomes a new delayed message, and only a bug leaves the message in the queue, to come back and at
last to reach the dead letter queue.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from shared.aws.queues import MAX_DELAY
from shared.domain.messages import Kind, Message
from shared.domain.outcomes import Done, GaveUp, Outcome, RetryLater
from shared.errors import Permanent, Transient
from shared.observability import Meter
from shared.usecases.context import Control

__all__ = ["Handler", "handle"]

TABLE_WAIT: Final = 30.0

Handler = Callable[[Message], Outcome]

log = logging.getLogger("d1fleet")


def handle(
    control: Control, meter: Meter, handlers: Mapping[Kind, Handler], message: Message
) -> Outcome:
    """Let the handler of a message's kind work, and turn its outcome into what the queue needs.

    Raises:
        Permanent: no handler here takes this kind of message.
    """
    handler = handlers.get(message.kind)
    if handler is None:
        raise Permanent(f"this queue takes no messages of kind {message.kind}")
    try:
        outcome = handler(message)
    except Transient as error:
        # The state table itself does not answer: no bug, and nothing for the dead letters.
        outcome = RetryLater(max(TABLE_WAIT, error.retry_after or 0), str(error), message.token)
    extra = {"kind": message.kind, "subject": message.id, "trace": message.trace}
    match outcome:
        case Done():
            log.info("done", extra=extra)
        case RetryLater(after=after, why=why, token=token):
            log.info("waiting %.1f s: %s", after, why, extra=extra)
            if after <= MAX_DELAY:
                again = message.model_copy(update={"token": token})
                control.queues.send([again], after=after)
        case GaveUp(reason=reason):
            log.error("gave up: %s", reason, extra=extra)
    meter.count("Outcomes", kind=message.kind, outcome=type(outcome).__name__)
    return outcome
