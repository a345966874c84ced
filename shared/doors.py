"""What a queue's door does with an outcome: the one place that knows SQS's side of it.

`Done` and `GaveUp` are acknowledged (what was given up is stored where people look), `RetryLater`
becomes a new delayed message, and only a bug leaves the message in the queue, to come back and at
last to reach the dead letter queue.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.queues import MAX_DELAY
from shared.domain.messages import Kind, Message, parse_message
from shared.domain.outcomes import Done, GaveUp, Outcome, RetryLater
from shared.errors import Permanent, Transient
from shared.observability import Meter
from shared.usecases.context import Control

__all__ = ["Handler", "handle", "message_of", "work_through"]

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


def message_of(record: SQSRecord) -> Message:
    """Return the message in a record; one that came back is taken as a plain wake-up.

    Whoever died with it may have written down a newer token and never sent its message.

    Raises:
        Permanent: it is not one of ours.
    """
    message = parse_message(record.body)
    if int(record.attributes.approximate_receive_count) > 1:
        return message.model_copy(update={"token": None})
    return message


def work_through(
    event: dict[str, Any],
    context: LambdaContext,
    work: Callable[[SQSRecord], None],
    *,
    logger: Logger,
    meter: Meter,
) -> Any:
    """Have each record of a batch worked on; return which crashed, so that those come back."""
    batch = _Batch(logger, meter)
    return process_partial_response(
        event=event, record_handler=work, processor=batch, context=context
    )


class _Batch(BatchProcessor):
    """Leave what crashed in the queue, and say so: a partial answer is no error to Lambda."""

    def __init__(self, logger: Logger, meter: Meter) -> None:
        super().__init__(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
        self._log = logger
        self._meter = meter

    def failure_handler(self, record: Any, exception: Any) -> Any:
        """Log a crash with its traceback, and count it."""
        self._log.error("crashed", exc_info=exception)
        self._meter.count("Crashed")
        return super().failure_handler(record, exception)
