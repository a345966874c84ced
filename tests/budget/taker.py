"""One of several processes that press the same budget; run by the test beside it.

Its clock runs `SPEED` times faster than the wall's, so that a window of ten seconds passes in a
fraction of it. It prints the instant of each granted take as the budget saw it, in microseconds.
"""

import sys
import threading
import time
from datetime import datetime, timedelta

import boto3

from shared.aws.budget import DynamoBudget
from shared.aws.table import Table
from shared.domain.budget import BudgetLimits, Lane, to_micros
from shared.errors import NoPermit, Transient

SPEED = 12
BUSY_FOR = timedelta(seconds=45)


def main(url: str, table_name: str, lane: str, began: float) -> None:
    start = datetime.fromisoformat("2026-11-23T20:00:00+00:00")
    looked: list[datetime] = []

    def clock() -> datetime:
        looked.append(start + timedelta(seconds=(time.time() - began) * SPEED))
        return looked[-1]

    client = boto3.resource(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ).meta.client
    budget = DynamoBudget(Table(client, table_name), BudgetLimits.of(20, 10, 0.8), clock)
    client.describe_table(TableName=table_name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    first = clock()
    pause = threading.Event()
    while clock() - first < BUSY_FOR:
        try:
            budget.take(Lane(lane))
        except NoPermit as refusal:
            pause.wait((refusal.retry_after or 0) / SPEED)
        except Transient:
            pause.wait(0.01)
        else:
            sys.stdout.write(f"{to_micros(looked[-1])}\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
