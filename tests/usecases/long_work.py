"""The backup function in a world, with a bucket that a test may tamper with."""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3

from shared.aws.backups import BackupStore, Stored
from shared.cloudflare.client import LaneClient
from shared.domain.backup import Backup, BackupReason, Restore
from shared.domain.budget import Lane
from shared.domain.database import Database
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus
from shared.dumps import Digest, digest_live
from shared.usecases.live_database import OverRest
from shared.usecases.make_backup import MakeBackup
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.request_backup import request_backup
from shared.usecases.request_restore import request_restore
from shared.usecases.restore_backup import RestoreBackup
from tests.usecases.killing import WatchedAws
from tests.usecases.leaving import database_of, tenant_of
from tests.usecases.world import World

__all__ = [
    "ROWS",
    "Bucket",
    "add_long_work",
    "api",
    "backed_up",
    "closing",
    "content",
    "listen",
    "restored_for",
    "wanted_backup",
]


ROWS = "INSERT INTO notes (text) VALUES ('ä'), ('it''s'), ('')"
"""Three notes, for a tenant to have something to lose."""


class Bucket(BackupStore):
    """The real store on moto; what goes in and comes out may be tampered with."""

    incoming: Callable[[Iterable[bytes]], Iterable[bytes]] = staticmethod(lambda pieces: pieces)
    trouble: Exception | None = None

    def keep(self, key: str, pieces: Iterable[bytes]) -> Stored:
        """Store what `incoming` makes of a dump, or fail with the trouble there is."""
        if self.trouble is not None:
            raise self.trouble
        return super().keep(key, self.incoming(pieces))


def add_long_work(world: World, folder: Path) -> Bucket:
    """Have a world do long work too; return its bucket."""
    s3: Any = WatchedAws("s3", boto3.client("s3"), world.executioner)
    bucket = Bucket(s3, world.control.settings.bucket_name)
    folder.mkdir(exist_ok=True)

    def pause(seconds: float) -> None:
        world.clock.pass_(seconds=seconds)

    control, outside = world.control, world.outside
    world.long_work["backup"] = MakeBackup(control, outside, bucket, folder, pause)
    world.long_work["restore"] = RestoreBackup(control, outside, bucket, folder, pause)
    return bucket


def api(world: World) -> LaneClient:
    """Return Cloudflare's API as a test uses it."""
    return world.outside.cloudflare().on(Lane.REPAIR)


def content(world: World, database: Database) -> Digest:
    """Return what a database on D1 comes to."""
    return digest_live(OverRest(api(world).d1, database.database_id or ""))


def wanted_backup(world: World, tenant: Tenant, **more: Any) -> Backup:
    """Ask for a backup of a tenant's database."""
    options: dict[str, Any] = {"because": BackupReason.OPERATOR, "trace": "t"} | more
    return request_backup(world.control, tenant, database_of(world, tenant), **options)


def closing(world: World, tenant: Tenant) -> dict[str, Any]:
    """Let a tenant's grace begin; return what asks for a backup of this closing."""
    OperateTenant(world.control).close(
        tenant.tenant_id, grace=timedelta(days=30), without_backup=False, trace="t"
    )
    world.run()
    return {"block": True, "closing_id": tenant_of(world, tenant.tenant_id).closing_id}


def backed_up(world: World, tenant: Tenant, **more: Any) -> Backup:
    """Ask for a backup and return it once all is quiet."""
    wanted = wanted_backup(world, tenant, **more)
    world.run()
    backup = world.control.state.backup(wanted.backup_id)
    assert backup is not None
    return backup


def restored_for(world: World, tenant_id: str, backup: Backup) -> Restore:
    """Let a tenant without a database wait for a restore; return it as it was asked for."""
    tenant, now = tenant_of(world, tenant_id), world.control.now()
    word = {"operator": OperatorWord.RESUME, "operator_at": now}  # or it would be closed again
    pending = tenant.moved(TenantStatus.PENDING, now, reason=None, grace_ends_at=None, **word)
    restore = request_restore(world.control, tenant, backup, waiting=pending, trace="t")
    world.control.enqueue("tenant", tenant_id, trace="t")
    return restore


def listen(world: World) -> Callable[[], list[str]]:
    """Subscribe to the alerts; return what gives the kinds of those that came since."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName="alerted")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    topic = world.control.settings.alert_topic_arn
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    def receive() -> list[str]:
        kinds = []
        while some := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in some:
                body = json.loads(message["Body"])
                kinds.append(body["MessageAttributes"]["kind"]["Value"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return kinds

    return receive
