"""A tenant that leaves, and what is looked at while it does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import boto3
import httpx

from shared.aws.items import Change
from shared.domain.backup import BackupStatus
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.messages import Message
from shared.domain.outcomes import Done, Outcome
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.sweep import Sweep
from tests.support.events import signup
from tests.usecases.test_signup_path import accept, fill_pool, status
from tests.usecases.world import World

__all__ = ["Prover", "close", "database_of", "gone", "hear", "live", "on_d1", "row_of", "tenant_of"]

NOW = timedelta(0)


@dataclass
class Prover:
    """Stand for the backup function: every backup is proven at D1's present bookmark.

    `refuses` is a reason to refuse instead.
    """

    world: World
    refuses: str | None = None

    def __call__(self, message: Message) -> Outcome:
        """Prove or refuse the backup that a message names, and wake its tenant."""
        control = self.world.control
        backup = control.state.backup(message.id)
        assert backup is not None
        if backup.status is BackupStatus.WANTED:
            database = control.state.database(backup.database_ulid)
            assert database is not None
            now = control.now()
            if self.refuses is not None:
                after = backup.moved(BackupStatus.REFUSED, now, reason=self.refuses)
            else:
                d1 = self.world.outside.cloudflare().on(Lane.TEARDOWN).d1
                bookmark = d1.bookmark(database.database_id or "")
                after = backup.moved(BackupStatus.PROVEN, now, bookmark=bookmark, proven_at=now)
            control.state.commit(Change(backup, after))
        control.enqueue("tenant", backup.tenant_id, trace="t")
        return Done()


def live(world: World, tenant_id: str) -> Tenant:
    """Return a tenant that signed up and is served."""
    if world.control.state.tenant(tenant_id) is None:
        if not databases(world, DatabaseStatus.READY):
            fill_pool(world)
        accept(world).signup(signup(tenant_id), body_sha256="x", trace="t")
    world.run(lambda: status(world, tenant_id) is TenantStatus.ACTIVE)
    world.run()
    return tenant_of(world, tenant_id)


def close(world: World, tenant_id: str, **more: Any) -> None:
    """Close a tenant by an operator's word, its grace being over at once."""
    options: dict[str, Any] = {"grace": NOW, "without_backup": False, "trace": "t"} | more
    OperateTenant(world.control).close(tenant_id, **options)


def gone(world: World, tenant_id: str) -> None:
    """Let time pass, with sweeps, until a tenant is closed and all is quiet."""
    for _ in range(12):
        world.run()
        if status(world, tenant_id) is TenantStatus.CLOSED:
            return
        world.clock.pass_(minutes=11)
        Sweep(world.control, world.outside)("sweep")
    raise AssertionError(f"{tenant_id} is still {tenant_of(world, tenant_id)}")


def hear(world: World) -> Callable[[], list[dict[str, Any]]]:
    """Listen to the event bus; return what gives the events that came since."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    bus = world.control.settings.event_bus_name
    events.put_rule(Name="all", EventBusName=bus, EventPattern='{"source":["d1fleet"]}')
    events.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn["QueueArn"]}])

    def receive() -> list[dict[str, Any]]:
        found = []
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in some:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return found

    return receive


def tenant_of(world: World, tenant_id: str) -> Tenant:
    """Return a tenant's record, which must be there."""
    tenant = world.control.state.tenant(tenant_id)
    assert tenant is not None
    return tenant


def database_of(world: World, tenant: Tenant) -> Database:
    """Return the record of a tenant's database, which must be there."""
    database = world.control.state.database(tenant.database_ulid or "")
    assert database is not None
    return database


def on_d1(world: World, database: Database) -> bool:
    """Say whether D1 has a database."""
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    return d1.get(database.name) is not None


def row_of(world: World, tenant_id: str) -> str:
    """Return the state that the directory holds of a tenant."""
    [row] = world.outside.router().get([tenant_id])
    return row.state


def all_faults_gone(url: str) -> None:
    """Have the emulator do as usual again."""
    httpx.post(f"{url}/reset").raise_for_status()


def databases(world: World, *statuses: DatabaseStatus) -> list[Database]:
    """Return the records of databases of some statuses."""
    return [db for each in statuses for db in world.control.state.databases("weur", each)]
