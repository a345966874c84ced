"""The queues: work that any worker takes, long work, one line of publishes for each pool Worker."""

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.messages import LONG_WORK, Message
from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

__all__ = ["MAX_DELAY", "Queues", "connect_queues"]

MAX_DELAY: Final = 900
_BATCH: Final = 10


def connect_queues(work_url: str, bind_url: str, backup_url: str) -> "Queues":
    """Return the queues, endpoint and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return Queues(boto3.client("sqs", config=config), work_url, bind_url, backup_url)


class Queues:
    """Send messages. Every method raises `Transient` when SQS does not take them."""

    def __init__(self, sqs: "SQSClient", work_url: str, bind_url: str, backup_url: str) -> None:
        self._sqs = sqs
        self._work_url = work_url
        self._bind_url = bind_url
        self._backup_url = backup_url

    def send(self, messages: Sequence[Message], *, after: float = 0) -> None:
        """Send work, to be seen after a delay in seconds (SQS knows whole ones, up to 900).

        Long work goes to the queue of its own.
        """
        delay = max(0, min(MAX_DELAY, -int(-after // 1)))
        long = [message for message in messages if message.kind in LONG_WORK]
        short = [message for message in messages if message.kind not in LONG_WORK]
        self._send(self._work_url, short, delay)
        self._send(self._backup_url, long, delay)

    def _send(self, url: str, messages: Sequence[Message], delay: int) -> None:
        for start in range(0, len(messages), _BATCH):
            entries: list[SendMessageBatchRequestEntryTypeDef] = [
                {"Id": str(number), "MessageBody": message.body(), "DelaySeconds": delay}
                for number, message in enumerate(messages[start : start + _BATCH])
            ]
            try:
                answer = self._sqs.send_message_batch(QueueUrl=url, Entries=entries)
            except (ClientError, BotoCoreError) as error:
                raise Transient(f"SQS does not answer: {type(error).__name__}") from error
            if answer.get("Failed"):
                raise Transient(f"SQS refused {len(answer['Failed'])} messages")

    def wake(self, script: str, trace: str) -> None:
        """Wake the publisher of a pool Worker.

        The deduplication id is fresh each time: SQS would drop a wake-up that looks like one of
        the last five minutes, and with it the change that it speaks of.
        """
        body = Message(kind="shard", id=script, trace=trace).body()
        try:
            self._sqs.send_message(
                QueueUrl=self._bind_url,
                MessageBody=body,
                MessageGroupId=script,
                MessageDeduplicationId=uuid.uuid4().hex,
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"SQS does not answer: {type(error).__name__}") from error
