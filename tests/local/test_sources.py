"""From queue to function and back as Lambda does it: what is deleted, and what comes again."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from local.aws.cloud import Aws
from local.aws.deploy import QueueMapping, client
from local.functions.environment import Result
from local.functions.lambda_service import LambdaService
from local.functions.sources import QueueSource, batch_event, finished

SOURCE = """
    import json, os, time, uuid
    from pathlib import Path

    HERE = Path(os.environ["HERE"])

    def note(record):
        # One file each: several processes write at once.
        seen = HERE / "seen"
        seen.mkdir(exist_ok=True)
        name = seen / f"{time.time_ns()}-{uuid.uuid4().hex}"
        name.with_suffix(".new").write_text(json.dumps(record))
        name.with_suffix(".new").rename(name)

    def take(event, context):
        failed = []
        for record in event["Records"]:
            note(record)
            if record["body"] == "crash":
                raise RuntimeError("no")
            if record["body"] == "hang" and record["attributes"]["ApproximateReceiveCount"] == "1":
                time.sleep(60)
            if record["body"].startswith("fail"):
                failed.append({"itemIdentifier": record["messageId"]})
        return {"batchItemFailures": failed}
"""


class Line:
    """A queue, its dead letters, and the function that takes its messages."""

    def __init__(self, sqs: Any, url: str, dead: str, seen: Path) -> None:
        self.sqs, self.url, self.dead, self._seen = sqs, url, dead, seen
        self.service: LambdaService

    def send(self, *bodies: str, group: str | None = None) -> None:
        for number, body in enumerate(bodies):
            more = {}
            if group is not None:
                more = {"MessageGroupId": group, "MessageDeduplicationId": f"{group}{number}{body}"}
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **more)

    def seen(self) -> list[dict[str, Any]]:
        """Return the records that reached the function, in order."""
        files = sorted(path for path in self._seen.glob("*") if path.suffix != ".new")
        return [json.loads(path.read_text(encoding="utf-8")) for path in files]

    def bodies(self) -> list[str]:
        return [record["body"] for record in self.seen()]

    def depth(self, url: str | None = None) -> int:
        """Return how many messages are there, in whatever state."""
        found = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=["All"])
        return sum(
            int(value)
            for name, value in found["Attributes"].items()
            if name.startswith("ApproximateNumberOfMessages")
        )


@pytest.fixture
def line(
    aws: Aws, start: Callable[..., LambdaService], tmp_path: Path
) -> Iterator[Callable[..., Line]]:
    """Make a queue, with messages that wait in it, and feed a function from it."""
    sqs = client("sqs", aws.endpoint_url)
    sources: list[QueueSource] = []
    urls: list[str] = []

    def make(
        *,
        batch: int = 1,
        fifo: bool = False,
        timeout: float = 20,
        visibility: int = 1,
        concurrency: int = 2,
        waiting: Sequence[str] = (),
    ) -> Line:
        suffix, kind = (".fifo", {"FifoQueue": "true"}) if fifo else ("", {})
        dead = sqs.create_queue(QueueName=f"dead{suffix}", Attributes=kind)["QueueUrl"]
        arn = "arn:aws:sqs:us-east-1:123456789012:"
        redrive = json.dumps({"deadLetterTargetArn": f"{arn}dead{suffix}", "maxReceiveCount": 5})
        attributes = {"VisibilityTimeout": str(visibility), "RedrivePolicy": redrive, **kind}
        url = sqs.create_queue(QueueName=f"line{suffix}", Attributes=attributes)["QueueUrl"]
        urls.extend((url, dead))
        made = Line(sqs, url, dead, tmp_path / "seen")
        made.service = start(SOURCE, "take", timeout=timeout, most=concurrency)
        mapping = QueueMapping(
            function="take",
            queue_url=url,
            queue_arn=f"{arn}line{suffix}",
            batch_size=batch,
            partial_failures=True,
            concurrency=concurrency,
            fifo=fifo,
        )
        source = QueueSource(
            mapping,
            sqs=client("sqs", aws.endpoint_url),
            invoke=made.service.invoke,
            concurrency=concurrency,
        )
        sources.append(source)
        made.send(*waiting, group="a" if fifo else None)
        source.start()
        return made

    yield make
    for source in sources:
        source.stop()
    for url in urls:
        sqs.delete_queue(QueueUrl=url)
    sqs.close()


def test_a_message_is_deleted_when_its_function_is_done(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """Each message reaches the function once, and the queue is empty afterwards."""
    queue = line(visibility=30)
    queue.send("a", "b", "c")
    eventually(lambda: len(queue.seen()) == 3)
    eventually(lambda: queue.depth() == 0)
    assert sorted(queue.bodies()) == ["a", "b", "c"]


def test_the_event_is_lambdas(line: Callable[..., Line], eventually: Callable[..., None]) -> None:
    """A record has the fields that AWS documents, and a message's attributes as text."""
    queue = line()
    queue.sqs.send_message(
        QueueUrl=queue.url,
        MessageBody="a",
        MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}},
    )
    eventually(queue.seen)
    record = queue.seen()[0]
    assert set(record) == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"].endswith(":line")
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["k"]["stringValue"] == "v"


def test_only_what_failed_of_a_batch_comes_again(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """The good messages of a batch are gone; the one that was reported comes until it is dead."""
    queue = line(batch=5, concurrency=1)
    queue.send("ok", "fail", "fine")
    eventually(lambda: queue.depth(queue.dead) == 1, within=30)
    assert queue.bodies().count("ok") == queue.bodies().count("fine") == 1
    assert queue.bodies().count("fail") == 5
    assert queue.depth() == 0


def test_a_crash_brings_the_message_to_the_dead_letters_after_five(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """A message whose function raises is received five times, then it lies in the dead letters."""
    queue = line()
    queue.send("crash")
    eventually(lambda: queue.depth(queue.dead) == 1, within=30)
    counts = [record["attributes"]["ApproximateReceiveCount"] for record in queue.seen()]
    assert counts == ["1", "2", "3", "4", "5"]
    assert queue.depth() == 0


def test_a_killed_function_gets_its_message_again(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """SIGKILL half-way: after its visibility timeout the message is taken by a fresh process."""
    queue = line(visibility=2)
    queue.send("hang")
    eventually(queue.seen)
    (pid,) = queue.service.pids("take")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: queue.depth() == 0)
    assert queue.bodies() == ["hang", "hang"]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert queue.service.pids("take") not in ([], [pid])


def test_a_timeout_brings_the_message_back(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """A function over its time is killed, and the message comes again."""
    queue = line(timeout=1, visibility=2)
    queue.send("hang")
    eventually(lambda: queue.bodies() == ["hang", "hang"])
    eventually(lambda: queue.depth() == 0)


def test_a_message_of_a_group_waits_for_the_one_before(
    line: Callable[..., Line], eventually: Callable[..., None]
) -> None:
    """FIFO: a group keeps its order although a message of it failed; other groups pass by."""
    queue = line(fifo=True, batch=5, visibility=2, waiting=["hang", "a2", "a3"])
    eventually(queue.seen)
    (pid,) = queue.service.pids("take")
    queue.send("b1", "b2", group="b")
    eventually(lambda: queue.bodies()[1:] == ["b1", "b2"])
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: queue.depth() == 0)
    assert queue.bodies() == ["hang", "b1", "b2", "hang", "a2", "a3"]


def answer(value: object) -> Result:
    return Result(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("result", "done"),
    [
        (answer({"batchItemFailures": []}), "ab"),
        (answer({"batchItemFailures": None}), "ab"),
        (answer({}), "ab"),
        (answer(None), "ab"),
        (Result(b""), "ab"),
        (answer({"batchItemFailures": [{"itemIdentifier": "a"}]}), "b"),
        (answer({"batchItemFailures": [{"itemIdentifier": ""}]}), ""),
        (answer({"batchItemFailures": [{"itemIdentifier": None}]}), ""),
        (answer({"batchItemFailures": [{"wrong": "a"}]}), ""),
        (answer({"batchItemFailures": [{"itemIdentifier": "stranger"}]}), ""),
        (answer({"batchItemFailures": "a"}), ""),
        (answer({"batchItemFailures": ["a"]}), ""),
        (answer(["a"]), ""),
        (Result(b"not json"), ""),
        (Result(b"{}", error="Unhandled"), ""),
    ],
)
def test_what_an_answer_means_for_a_batch(result: Result, done: Sequence[str]) -> None:
    """Nothing said is success; what can't be understood, or names a stranger, fails the batch."""
    assert finished(result, ["a", "b"], partial_failures=True) == set(done)


def test_without_partial_failures_the_answer_does_not_matter() -> None:
    """All are done unless the function failed."""
    result = answer({"batchItemFailures": [{"itemIdentifier": "a"}]})
    assert finished(result, ["a", "b"], partial_failures=False) == {"a", "b"}
    failed = Result(b"{}", error="Unhandled")
    assert finished(failed, ["a", "b"], partial_failures=False) == set()


def test_a_batch_is_the_documented_event() -> None:
    """The golden event of a FIFO message."""
    golden = Path(__file__).parents[1] / "events" / "sqs_fifo.json"
    event = json.loads(golden.read_text(encoding="utf-8"))
    record = event["Records"][0]
    message: Any = {
        "MessageId": record["messageId"],
        "ReceiptHandle": record["receiptHandle"],
        "Body": record["body"],
        "MD5OfBody": record["md5OfBody"],
        "Attributes": record["attributes"],
    }
    assert batch_event([message], record["eventSourceARN"]) == event
