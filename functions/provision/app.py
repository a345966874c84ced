"""The work queue: takes a tenant, a database or a pool one step nearer to what it should be."""

from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.domain.messages import Message
from shared.domain.outcomes import Done, Outcome
from shared.doors import handle, message_of, work_through
from shared.observability import Meter, make_logger
from shared.usecases.advance_database import AdvanceDatabase
from shared.usecases.advance_tenant import AdvanceTenant
from shared.usecases.refetch_subscription import RefetchSubscription
from shared.usecases.refill_pool import RefillPool
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("provision")


@cache
def _parts() -> Parts:
    return build("provision")


def _wake_shard(message: Message) -> Outcome:
    """Pass a delayed wake-up on: a FIFO queue takes no delay of its own for one message."""
    _parts().control.queues.wake(message.id, message.trace)
    return Done()


def _refetch(message: Message) -> Outcome:
    """Fetch a subscription; what that needs is only put together when one is to be fetched."""
    parts = _parts()
    return RefetchSubscription(parts.control, parts.billing_api.subscription)(message)


def _work(record: SQSRecord) -> None:
    parts = _parts()
    handle(
        parts.control,
        Meter("provision"),
        {
            "tenant": AdvanceTenant(parts.control, parts.outside),
            "database": AdvanceDatabase(parts.control, parts.outside),
            "pool": RefillPool(parts.control, asked_at=_sent_at(record)),
            "shard": _wake_shard,
            "subscription": _refetch,
        },
        message_of(record),
    )


def _sent_at(record: SQSRecord) -> datetime:
    return datetime.fromtimestamp(int(record.attributes.sent_timestamp) / 1000, UTC)


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Work through a batch of the work queue; report only what crashed."""
    _parts()  # what is missing or wrong in the settings fails the call, in one line
    return work_through(event, context, _work, logger=logger, meter=Meter("provision"))
