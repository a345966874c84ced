"""One of several processes that press the same budget; run by the tests beside it.

Its one argument is JSON. Its clock runs `speed` times faster than the wall's from `began` on, so
that a window of ten seconds passes in a fraction of it. With `api` it spends each permit on a call
to that Cloudflare API, without it on nothing. It prints the instant at which each take was decided,
in microseconds.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx

from shared.aws.budget import DynamoBudget
from shared.aws.table import Table
from shared.cloudflare.client import CloudflareClient
from shared.domain.budget import BudgetLimits, Lane, to_micros
from shared.errors import NoPermit, Transient


class Clock:
    """Tell a time that runs faster, and remember the last one told."""

    def __init__(self, began: float, speed: int) -> None:
        self.began = began
        self.speed = speed
        self.last = datetime.fromtimestamp(began, UTC)

    def __call__(self) -> datetime:
        seconds = self.began + (time.time() - self.began) * self.speed
        self.last = datetime.fromtimestamp(seconds, UTC)
        return self.last


def spender(settings: Any, budget: DynamoBudget, clock: Clock) -> Callable[[], int]:
    """Return what takes one permit, and says when that was decided."""
    lane = Lane(settings["lane"])

    def take() -> int:
        budget.take(lane)
        return to_micros(clock.last)

    if settings["api"] is None:
        return take
    client = CloudflareClient(
        httpx.Client(base_url=settings["api"]["url"]),
        account_id=settings["api"]["account"],
        token=settings["api"]["token"],
        budget=budget,
        clock=clock,
    )

    def call() -> int:
        client.on(lane).d1.get("nobody")
        return to_micros(clock.last)

    return call


def main() -> None:
    settings = json.loads(sys.argv[1])
    client = boto3.resource(
        "dynamodb",
        endpoint_url=settings["dynamodb"],
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).meta.client
    clock = Clock(settings["began"], settings["speed"])
    budget = DynamoBudget(Table(client, settings["table"]), BudgetLimits.of(20, 10, 0.8), clock)
    spend = spender(settings, budget, clock)
    client.describe_table(TableName=settings["table"])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    end = clock() + timedelta(seconds=settings["busy_for"])
    pause = threading.Event()
    while clock() < end:
        try:
            spent = spend()
        except NoPermit as refusal:
            pause.wait((refusal.retry_after or 0) / settings["speed"])
        except Transient as error:
            sys.stderr.write(f"{error}\n")
            pause.wait(0.01)
        else:
            sys.stdout.write(f"{spent}\n")


if __name__ == "__main__":
    main()
