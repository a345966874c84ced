"""Every place in which a secret could have been left behind."""

import json
from collections.abc import Iterator
from typing import Any

import psutil

from tests.e2e_audit.story import Story
from tests.support.stacks import items_of

__all__ = ["files", "places"]

KEPT_APART = ("stack.json", "cloudflare/")
"""Where secrets belong: what `up` hands to clients (only its owner may read it), and the emulated
account, which as Cloudflare does keeps the secrets of Workers that were uploaded with them."""


def places(story: Story) -> Iterator[tuple[str, bytes]]:
    """Yield (where, content) of all that the run left, but what the functions sent."""
    yield from files(story)
    yield from _table(story)
    yield from _queues(story)
    yield from _bucket(story)
    yield from _command_lines()
    yield from story.said


def files(story: Story) -> Iterator[tuple[str, bytes]]:
    """Yield the stack's files, logs among them."""
    for path in sorted(story.stack.folder.rglob("*")):
        name = path.relative_to(story.stack.folder).as_posix()
        if path.is_file() and not name.startswith(KEPT_APART):
            yield f"file {name}", path.read_bytes()


def _table(story: Story) -> Iterator[tuple[str, bytes]]:
    for item in items_of(story.running, story.running.aws("dynamodb")):
        yield f"item {item['pk']} {item['sk']}", json.dumps(item, default=str).encode()


def _queues(story: Story) -> Iterator[tuple[str, bytes]]:
    urls = {**story.running.description["aws"]["queues"], "alerts": story.alerts}
    for name, url in urls.items():
        while messages := _receive(story.sqs, url):
            for message in messages:
                yield f"message of {name}", json.dumps(message).encode()


def _receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=600,
        MessageSystemAttributeNames=["All"],
        MessageAttributeNames=["All"],
    )
    return list(answer.get("Messages", []))


def _bucket(story: Story) -> Iterator[tuple[str, bytes]]:
    s3, bucket = story.running.aws("s3"), story.running.description["aws"]["bucket"]
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for found in page.get("Versions", []):
            kept = s3.get_object(Bucket=bucket, Key=found["Key"], VersionId=found["VersionId"])
            about = json.dumps(kept["ResponseMetadata"]["HTTPHeaders"]).encode()
            yield f"object {found['Key']}", kept["Body"].read() + about


def _command_lines() -> Iterator[tuple[str, bytes]]:
    """Yield what every user of the machine sees of the stack's processes."""
    for process in psutil.Process().children(recursive=True):
        yield f"command line of {process.pid}", " ".join(process.cmdline()).encode()
