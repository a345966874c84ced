"""Messages are sent whole, in batches, when they are due, and wake-ups are never swallowed."""

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from shared.aws.queues import Queues, connect_queues
from shared.domain.messages import Message, parse_message
from shared.errors import Transient


def tenants(count: int) -> list[Message]:
    return [Message(kind="tenant", id=f"org_{number}", trace="t") for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, 10, 11, 25])
def test_every_message_arrives_once(cloud: Any, count: int) -> None:
    """Any number goes in batches of ten, none is lost and none is sent twice."""
    cloud.queues().send(tenants(count))
    bodies = [message["Body"] for message in cloud.received(cloud.work)]
    assert sorted(bodies) == sorted(message.body() for message in tenants(count))
    assert all(parse_message(body).kind == "tenant" for body in bodies)


@pytest.mark.parametrize(
    ("after", "delayed"),
    [(-5, False), (0, False), (0.001, True), (2.5, True), (900, True), (86_400, True)],
)
def test_a_message_is_seen_when_it_is_due(cloud: Any, after: float, delayed: bool) -> None:
    """A wait is rounded up to whole seconds, and cut at the 900 that SQS takes."""
    cloud.queues().send(tenants(1), after=after)
    assert len(cloud.received(cloud.work)) == (not delayed)
    assert cloud.delayed() == delayed


def test_every_message_of_every_batch_waits(cloud: Any) -> None:
    """The delay belongs to each message, also in the second batch."""
    cloud.queues().send(tenants(15), after=30)
    assert cloud.received(cloud.work) == []
    assert cloud.delayed() == 15


def test_long_work_has_a_queue_of_its_own(cloud: Any) -> None:
    """Backups and restores go to their queue, everything else to the work queue, each once."""
    kinds = ("tenant", "backup", "database", "restore", "pool", "shard")
    messages = [Message(kind=kind, id=f"{kind}_{n}") for n in range(7) for kind in kinds]
    cloud.queues().send(messages, after=0)
    long = sorted(parse_message(message["Body"]).id for message in cloud.received(cloud.backup))
    other = sorted(parse_message(message["Body"]).id for message in cloud.received(cloud.work))
    assert long == sorted(m.id for m in messages if m.kind in {"backup", "restore"})
    assert other == sorted(m.id for m in messages if m.kind not in {"backup", "restore"})


def test_no_wake_up_is_taken_for_a_repeat(cloud: Any) -> None:
    """The same wake-up twice is two messages of one group: SQS drops neither."""
    queues = cloud.queues()
    for script in ("f-pool-1", "f-pool-1", "f-pool-2"):
        queues.wake(script, "trace")
    # One at a time, as its consumer does: a group is held while one of its messages is out.
    found = []
    while batch := cloud.sqs.receive_message(
        QueueUrl=cloud.bind, MaxNumberOfMessages=1, MessageSystemAttributeNames=["All"]
    ).get("Messages"):
        found += batch
        handle = batch[0]["ReceiptHandle"]
        cloud.sqs.delete_message(QueueUrl=cloud.bind, ReceiptHandle=handle)
    groups = [message["Attributes"]["MessageGroupId"] for message in found]
    ids = {message["Attributes"]["MessageDeduplicationId"] for message in found}
    assert sorted(groups) == ["f-pool-1", "f-pool-1", "f-pool-2"]
    assert len(ids) == 3
    for message, group in zip(found, groups, strict=True):
        expected = Message(kind="shard", id=group, trace="trace")
        assert parse_message(message["Body"]) == expected


def test_a_queue_that_takes_nothing_is_transient(cloud: Any) -> None:
    """What SQS refuses was not sent: whoever sends hears of it."""
    queues = connect_queues(cloud.work + "-gone", cloud.bind.replace("bind", "gone"), "gone")
    with pytest.raises(Transient, match="SQS does not answer"):
        queues.send(tenants(1))
    with pytest.raises(Transient, match="SQS does not answer"):
        queues.wake("f-pool-1", "")
    queues.send([])


def test_a_batch_of_the_wrong_kind_is_transient(cloud: Any) -> None:
    """A queue that refuses the whole batch has none of it."""
    queues = connect_queues(
        cloud.bind, cloud.bind, cloud.bind
    )  # a FIFO queue wants a group with each message
    with pytest.raises(Transient):
        queues.send(tenants(2))
    assert cloud.received(cloud.bind) == []


def test_a_part_of_a_batch_that_sqs_refuses_is_transient(cloud: Any) -> None:
    """SQS answers 200 with failures inside, which moto never does: they are not passed over."""
    with Stubber(boto3.client("sqs")) as sqs:
        failed = [{"Id": "1", "Code": "InternalError", "SenderFault": False}]
        taken = [{"Id": "0", "MessageId": "m", "MD5OfMessageBody": "x"}]
        sqs.add_response("send_message_batch", {"Successful": taken, "Failed": failed})
        with pytest.raises(Transient, match="SQS refused 1 messages"):
            Queues(sqs.client, cloud.work, cloud.bind, cloud.backup).send(tenants(2))
