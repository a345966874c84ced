"""What was put right in moto's queues: quick, and polls that hold nobody up."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from local.aws.cloud import Aws
from local.aws.deploy import client


@pytest.fixture
def queue(aws: Aws) -> Iterator[tuple[Any, str]]:
    """Make an empty queue; return its client and URL."""
    sqs = client("sqs", aws.endpoint_url)
    url = sqs.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    yield sqs, url
    sqs.delete_queue(QueueUrl=url)
    sqs.close()


def test_a_long_poll_ends_when_a_message_comes(queue: tuple[Any, str]) -> None:
    """A receive that waits gets a message at once when one is sent, and lets it be sent."""
    sqs, url = queue
    received: list[Any] = []

    def wait() -> None:
        received.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []))

    waiting = threading.Thread(target=wait)
    began = time.monotonic()
    waiting.start()
    for _ in range(20):  # the poll gets under way meanwhile, and holds up none of these
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    waiting.join(10)
    assert time.monotonic() - began < 5
    assert [message["Body"] for message in received[0]] == ["hello"]


def test_a_long_poll_sees_what_becomes_visible_by_itself(queue: tuple[Any, str]) -> None:
    """A delayed message, and one whose visibility timeout ends, are given to a poll that waits."""
    sqs, url = queue
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    for _ in range(2):
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)
        assert [message["Body"] for message in answer["Messages"]] == ["later"]


def test_a_poll_without_messages_ends_in_time(queue: tuple[Any, str]) -> None:
    """An empty queue answers with nothing after the time that was asked for."""
    sqs, url = queue
    began = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert 0.9 < time.monotonic() - began < 5


def test_a_long_queue_counts_right(queue: tuple[Any, str]) -> None:
    """Depths of a queue are those of its messages: waiting, in hand and delayed."""
    sqs, url = queue
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=60)
    sqs.receive_message(QueueUrl=url)
    names = ("", "NotVisible", "Delayed")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [found[f"ApproximateNumberOfMessages{name}"] for name in names] == ["2", "1", "1"]
