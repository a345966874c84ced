"""A whole stack with a proxy between its functions and all that they call."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from local.stack import Stack, StackFailed
from tests.support.proxy import Proxy
from tests.support.running import Running

__all__ = ["behind_proxy", "give_back_after", "items_of", "reconcile", "waiting"]


def behind_proxy(folder: Path, proxy: Proxy, settings: Mapping[str, str], **more: Any) -> Stack:
    """Return a stack, not started, whose functions reach everything through a proxy alone."""
    stack = Stack(folder, settings, between=proxy.stand_before, **more)
    proxy.processes = lambda: _processes_of(stack)
    return stack


def _processes_of(stack: Stack) -> Mapping[str, Sequence[int]]:
    """Return the processes of each function, by its logical id in the template."""
    try:
        service = stack.service
    except StackFailed:
        return {}
    return {name.split("-")[1]: service.pids(name) for name in service.counts()}


def give_back_after(
    running: Running,
    seconds: int,
    *,
    receives: int = 100,
    names: Sequence[str] = ("work", "bind", "backup"),
) -> None:
    """Let queues give the messages of killed functions back after so many seconds.

    On a busy machine that comes before they are done, so they may be received more often than in
    the template before they count as dead.
    """
    sqs, queues = running.aws("sqs"), running.description["aws"]["queues"]
    for name in names:
        url = queues[name]
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["RedrivePolicy"])
        redrive = json.loads(found["Attributes"]["RedrivePolicy"])
        attributes = {
            "VisibilityTimeout": str(seconds),
            "RedrivePolicy": json.dumps({**redrive, "maxReceiveCount": receives}),
        }
        sqs.set_queue_attributes(QueueUrl=url, Attributes=attributes)


def waiting(sqs: Any, url: str) -> int:
    """Return how many messages of a queue are due or being worked on."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def items_of(running: Running, dynamodb: Any) -> list[dict[str, Any]]:
    """Return every item of the table, in DynamoDB's own form."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=running.description["aws"]["table"], ConsistentRead=True
    )
    return [item for page in pages for item in page["Items"]]


def reconcile(stack: Stack) -> str:
    """Return the name of the function that sweeps."""
    return next(name for name in stack.service.counts() if "Reconcile" in name)
