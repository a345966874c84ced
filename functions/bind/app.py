"""The bind queue: the one writer of each pool Worker's bindings, one message group a Worker."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.domain.messages import parse_message
from shared.doors import handle
from shared.observability import Meter, make_logger
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.worker_code import WorkerCode
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("bind")


class Batch(BatchProcessor):
    """Leave what crashed in the queue, and say so: a partial answer is no error to Lambda."""

    def failure_handler(self, record: Any, exception: Any) -> Any:
        """Log a crash with its traceback, and count it."""
        logger.error("crashed", exc_info=exception)
        Meter("bind").count("Crashed")
        return super().failure_handler(record, exception)


@cache
def _parts() -> Parts:
    return build("bind")


@cache
def _code() -> WorkerCode:
    return WorkerCode()


def _publish(record: SQSRecord) -> None:
    parts = _parts()
    publish = PublishWorker(parts.control, parts.outside, _code())
    handle(parts.control, Meter("bind"), {"shard": publish}, parse_message(record.body))


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Publish the Worker that a message names; a crash leaves the message to come back."""
    _parts()  # what is missing or wrong in the settings fails the call, in one line
    processor = Batch(event_type=EventType.SQS, raise_on_entire_batch_failure=False)
    return process_partial_response(
        event=event, record_handler=_publish, processor=processor, context=context
    )
