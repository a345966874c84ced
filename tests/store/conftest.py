"""The state table on an engine: moto, or DynamoDB Local where `DYNAMODB_LOCAL_URL` says it answers.

The same tests run on both (`make test-dynamodb-local`). Each test has a table of its own, made as
`template.yaml` says.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import boto3
import pytest
from botocore.config import Config
from samtranslator.yaml_helper import yaml_parse

from shared.aws.fleet import FleetStore
from shared.aws.items import Change
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.aws.table import Table
from shared.domain.backup import Backup, BackupReason, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Role, Worker

THREADS = 8
TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
T = TypeVar("T")


@pytest.fixture(scope="session")
def client(dynamodb_url: str) -> Iterator[Any]:
    """A client that speaks plain values and never tries again by itself."""
    config = Config(
        connect_timeout=2,
        read_timeout=20,
        max_pool_connections=2 * THREADS,
        retries={"mode": "standard", "max_attempts": 1},
    )
    found = boto3.resource(
        "dynamodb",
        endpoint_url=dynamodb_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=config,
    ).meta.client
    yield found
    found.close()


@pytest.fixture(scope="session")
def declared() -> dict[str, Any]:
    """The properties of the table in `template.yaml`."""
    properties: dict[str, Any] = yaml_parse(TEMPLATE.read_text())["Resources"]["Table"][
        "Properties"
    ]
    return properties


@pytest.fixture
def table(client: Any, declared: dict[str, Any]) -> Iterator[Table]:
    name = f"state-{uuid.uuid4().hex}"
    same = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
    client.create_table(TableName=name, **{key: declared[key] for key in same})
    client.update_time_to_live(
        TableName=name, TimeToLiveSpecification=declared["TimeToLiveSpecification"]
    )
    yield Table(client, name)
    client.delete_table(TableName=name)


@pytest.fixture
def state(table: Table) -> State:
    return State(table)


@pytest.fixture
def pools(table: Table) -> Pools:
    return Pools(table)


@pytest.fixture
def fleets(table: Table) -> FleetStore:
    return FleetStore(table)


@dataclass
class World:
    """Make records, store them, and look at everything that the table holds."""

    table: Table
    client: Any
    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    made: list[str] = field(default_factory=list)

    def later(self, seconds: float) -> datetime:
        return self.now + timedelta(seconds=seconds)

    def tenant(self, tenant_id: str = "org_1", **more: Any) -> Tenant:
        data = {"tenant_id": tenant_id, "status": TenantStatus.PENDING, "class_": "weur"}
        return Tenant.model_validate(data | self._times() | more)

    def database(self, number: int = 1, **more: Any) -> Database:
        ulid = f"01JDCB6M5V5P6Z5N1QG3Y{number:05}"
        data = {
            "ulid": ulid,
            "name": f"f-{ulid.lower()}",
            "status": DatabaseStatus.READY,
            "class_": "weur",
            "shard": "f-pool-1",
            "database_id": str(uuid.UUID(int=number)),
        }
        return Database.model_validate(data | self._times() | more)

    def worker(self, **more: Any) -> Worker:
        data = {"script": "f-pool-1", "role": Role.SHARD, "number": 1}
        return Worker.model_validate(data | self._times() | more)

    def backup(self, number: int = 1, **more: Any) -> Backup:
        data = {
            "backup_id": f"01JDCB6M5V5P6Z5N1QG3B{number:05}",
            "tenant_id": "org_1",
            "status": BackupStatus.WANTED,
            "because": BackupReason.CLOSING,
            "database_ulid": "01JDCB6M5V5P6Z5N1QG3Y00001",
        }
        return Backup.model_validate(data | self._times() | more)

    def restore(self, number: int = 1, **more: Any) -> Restore:
        data = {
            "restore_id": f"01JDCB6M5V5P6Z5N1QG3R{number:05}",
            "backup_id": "01JDCB6M5V5P6Z5N1QG3B00001",
            "tenant_id": "org_1",
            "status": RestoreStatus.WANTED,
            "database_ulid": "01JDCB6M5V5P6Z5N1QG3Y00002",
        }
        return Restore.model_validate(data | self._times() | more)

    def _times(self) -> dict[str, Any]:
        return {"created_at": self.now, "updated_at": self.now, "status_since": self.now}

    def stored(self, *records: Any) -> Any:
        """Store new records; return the only one, or all."""
        state = State(self.table)
        for record in records:
            state.commit(Change(None, record))
        return records[0] if len(records) == 1 else records

    def items(self, prefix: str = "") -> list[dict[str, Any]]:
        """Every item of the table whose partition begins so."""
        found: list[dict[str, Any]] = []
        more: dict[str, Any] = {}
        while True:
            page = self.client.scan(TableName=self.table.name, ConsistentRead=True, **more)
            found += page["Items"]
            if "LastEvaluatedKey" not in page:
                return [item for item in found if item["pk"].startswith(prefix)]
            more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


@pytest.fixture
def world(table: Table, client: Any) -> World:
    return World(table, client)


@pytest.fixture
def race() -> Callable[[Callable[[int], T]], list[T]]:
    """Run a call in eight threads that begin together; return what each returned."""

    def run(call: Callable[[int], T]) -> list[T]:
        together = threading.Barrier(THREADS)

        def one(number: int) -> T:
            together.wait(timeout=20)
            return call(number)

        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(one, range(THREADS)))

    return run
