"""AWS on moto, in this process, for the tests of the pushed migrations."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shared.aws.migrations import MigrationStore
from shared.aws.table import Table

BUCKET = "fleet-bucket"


@dataclass
class Clock:
    """A clock that tests move by hand."""

    moment: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


@dataclass
class World:
    """A table, a bucket, and as many stores over them as a test wants."""

    table: Table
    s3: Any

    def store(self) -> MigrationStore:
        """A store with a memory of its own, as another process has it."""
        return MigrationStore(self.table, self.s3, BUCKET)

    def keys(self) -> list[str]:
        """The keys of the bucket's objects."""
        found = self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return sorted(item["Key"] for item in found)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.resource("dynamodb", region_name="us-east-1").meta.client
        client.create_table(
            TableName="state",
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        s3 = boto3.client("s3", region_name="us-east-1")
        s3.create_bucket(Bucket=BUCKET)
        yield World(Table(client, "state"), s3)
