"""Take messages from the queues to the functions, as Lambda's event source mappings do.

One thread a mapping receives (by a long poll, so that an idle stack does nothing and a message is
taken at once); batches run beside each other, up to the mapping's concurrency. A message is deleted
only when its function said that it is done; all else comes back by itself when its visibility
timeout is over, and moves to the dead letter queue when it came too often: both are the queue's own
doing.
"""

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from local.aws.deploy import QueueMapping
from local.aws.template import REGION
from local.functions.environment import Result

if TYPE_CHECKING:
    from mypy_boto3_sqs.client import SQSClient
    from mypy_boto3_sqs.type_defs import MessageTypeDef

__all__ = ["QueueSource", "batch_event", "finished"]

logger = logging.getLogger(__name__)

RECEIVE_AT_MOST: Final = 10
WAIT: Final = 20
"""Seconds of a long poll: the longest that SQS allows."""
PAUSE: Final = 1.0
"""Seconds after a receive that failed."""


def batch_event(messages: Sequence["MessageTypeDef"], queue_arn: str) -> dict[str, Any]:
    """Return the event that Lambda makes of a batch of messages."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message.get("Attributes", {}),
                "messageAttributes": {
                    name: _attribute(value)
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": queue_arn,
                "awsRegion": REGION,
            }
            for message in messages
        ]
    }


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": value["DataType"],
    }
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    return attribute


def finished(result: Result, message_ids: Sequence[str], *, partial_failures: bool) -> set[str]:
    """Return the ids of the messages that may be deleted after a batch.

    With partial failures the answer names those that failed: no answer, an empty one and an empty
    list mean that none did; an answer that can't be understood, or that names no message of the
    batch, means that all did. (AWS: "Success and failure conditions" of partial batch responses.)
    """
    if result.error is not None:
        return set()
    if not partial_failures:
        return set(message_ids)
    try:
        answer = json.loads(result.payload or b"null")
    except ValueError:
        return set()
    if answer is None or answer == {}:
        return set(message_ids)
    if not isinstance(answer, dict):
        return set()
    failures = answer.get("batchItemFailures")
    if failures is None:
        return set(message_ids)
    if not isinstance(failures, list):
        return set()
    failed = set()
    for each in failures:
        identifier = each.get("itemIdentifier") if isinstance(each, dict) else None
        if identifier not in message_ids:
            return set()
        failed.add(identifier)
    return set(message_ids) - failed


class QueueSource:
    """Poll one queue for one function until stopped.

    `invoke` runs the function on a payload; `concurrency` is how many batches may run at once. The
    queue's own visibility timeout applies to each receive, so that changing the queue's changes it
    here.
    """

    def __init__(
        self,
        mapping: QueueMapping,
        *,
        sqs: "SQSClient",
        invoke: Callable[[str, bytes], Result],
        concurrency: int,
    ) -> None:
        self._mapping = mapping
        self._sqs = sqs
        self._invoke = invoke
        self._slots = threading.Semaphore(concurrency)
        self._workers = ThreadPoolExecutor(
            max_workers=concurrency, thread_name_prefix=f"batches-of-{mapping.function}"
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._poll, name=f"poll-for-{mapping.function}", daemon=True
        )

    def start(self) -> None:
        """Begin to take messages."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more messages; those under way come back if their function is killed."""
        self._stopping.set()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            self._slots.acquire()
            batches = 1
            # FIFO: one message at a time, or moto mixes up the order of what comes back.
            most = RECEIVE_AT_MOST // self._mapping.batch_size if not self._mapping.fifo else 1
            while batches < most and self._slots.acquire(blocking=False):
                batches += 1
            used = self._receive(batches)
            for _ in range(batches - used):
                self._slots.release()

    def _receive(self, batches: int) -> int:
        """Receive for so many batches and start them; return how many were started."""
        size = 1 if self._mapping.fifo else min(self._mapping.batch_size, RECEIVE_AT_MOST)
        try:
            answer = self._sqs.receive_message(
                QueueUrl=self._mapping.queue_url,
                MaxNumberOfMessages=min(size * batches, RECEIVE_AT_MOST),
                WaitTimeSeconds=WAIT,
                MessageSystemAttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError) as error:
            if not self._stopping.wait(PAUSE):
                logger.warning("receive from %s failed: %s", self._mapping.queue_arn, error)
            return 0
        messages = answer.get("Messages", [])
        chunks = [messages[i : i + size] for i in range(0, len(messages), size)]
        for chunk in chunks:
            try:
                self._workers.submit(self._run, chunk)
            except RuntimeError:  # stopped between the receive and here: the messages come back
                return 0
        return len(chunks)

    def _run(self, messages: list["MessageTypeDef"]) -> None:
        try:
            event = batch_event(messages, self._mapping.queue_arn)
            result = self._invoke(self._mapping.function, json.dumps(event).encode())
            ids = [message["MessageId"] for message in messages]
            done = finished(result, ids, partial_failures=self._mapping.partial_failures)
            for message in messages:
                if message["MessageId"] in done:
                    self._delete(message)
        finally:
            self._slots.release()

    def _delete(self, message: "MessageTypeDef") -> None:
        try:
            self._sqs.delete_message(
                QueueUrl=self._mapping.queue_url, ReceiptHandle=message["ReceiptHandle"]
            )
        except (BotoCoreError, ClientError) as error:
            if not self._stopping.is_set():
                logger.warning("delete from %s failed: %s", self._mapping.queue_arn, error)
