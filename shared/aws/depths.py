"""How many messages lie in each queue. SQS counts approximately, right within about a minute."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient

__all__ = ["QueueDepths", "connect_depths"]

_COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def connect_depths(urls: Mapping[str, str]) -> "QueueDepths":
    """Return what counts the messages of queues, given their addresses by name."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return QueueDepths(boto3.client("sqs", config=config), urls)


class QueueDepths:
    """Count messages: those that wait, are being worked on, or are delayed."""

    def __init__(self, sqs: "SQSClient", urls: Mapping[str, str]) -> None:
        self._sqs = sqs
        self._urls = urls

    def __call__(self) -> dict[str, int]:
        """Return how many messages each queue holds.

        Raises:
            Transient: SQS does not answer.
        """
        return {name: self._depth(url) for name, url in self._urls.items()}

    def _depth(self, url: str) -> int:
        try:
            answer = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_COUNTS))
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"SQS does not answer: {type(error).__name__}") from error
        return sum(int(answer["Attributes"].get(name, 0)) for name in _COUNTS)
