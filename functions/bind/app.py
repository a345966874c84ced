"""The bind queue: the one writer of each pool Worker's bindings, one message group a Worker."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.doors import handle, message_of, work_through
from shared.observability import Meter, make_logger
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.worker_code import WorkerCode
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("bind")


@cache
def _parts() -> Parts:
    return build("bind")


@cache
def _code() -> WorkerCode:
    return WorkerCode()


def _publish(record: SQSRecord) -> None:
    parts = _parts()
    publish = PublishWorker(parts.control, parts.outside, _code())
    handle(parts.control, Meter("bind"), {"shard": publish}, message_of(record))


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Publish the Worker that a message names; a crash leaves the message to come back."""
    _parts()  # what is missing or wrong in the settings fails the call, in one line
    return work_through(event, context, _publish, logger=logger, meter=Meter("bind"))
