"""One emulator and one moto for the folder, a fleet of its own for each test."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import httpx
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.model import OperationModel
from moto import mock_aws

from local.aws.direct import answer_directly
from local.cloudflare import Emulator
from shared.alerting.sns import Topic
from shared.aws.budget import DynamoBudget
from shared.aws.fleet import FleetStore
from shared.aws.migrations import MigrationStore
from shared.aws.outbox import Outbox
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.aws.table import Table
from shared.cloudflare.client import CloudflareClient
from shared.domain.budget import BudgetLimits
from shared.domain.names import router_script
from shared.domain.tenant import Tenant
from shared.router.client import RouterClient
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.init_fleet import InitFleet
from shared.usecases.outside import Outside
from shared.usecases.push_migrations import push_migrations
from shared.wiring import utc_now
from tests.support.settings import settings_of
from tests.support.table import table_properties
from tests.usecases.killing import Executioner, WatchedAws, WatchedTransport
from tests.usecases.leaving import live
from tests.usecases.long_work import ROWS, Bucket, add_long_work, api
from tests.usecases.world import Clock, Waiting, World

MIGRATIONS = {"0001_notes.sql": b"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"}
SECRET = "whsec_" + "QUJD" * 10
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("cloudflare"), calls=100_000).start() as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield


@pytest.fixture
def settings(emulator: Emulator) -> Settings:
    return settings_of(
        fleet=f"t{next(_numbers)}",
        table_name="state",
        cloudflare_account_id=emulator.account.account_id,
        cloudflare_api_url=emulator.base_url,
        workers_dev_url=emulator.workers_url + "/{script}",
        pool_target=2,
        shard_capacity=50,
        publish_settle=timedelta(seconds=30),
        api_limit=100_000,
    )


@pytest.fixture
def world(settings: Settings, emulator: Emulator) -> Iterator[World]:
    """A fleet that was set up, with the example's migration pushed and nothing in its pool yet."""
    _empty(emulator)
    clock = Clock()
    queues = Waiting(clock)
    boto3.client("s3").create_bucket(Bucket=settings.bucket_name)
    boto3.client("s3").put_bucket_versioning(
        Bucket=settings.bucket_name, VersioningConfiguration={"Status": "Enabled"}
    )
    boto3.client("events").create_event_bus(Name=settings.event_bus_name)
    boto3.client("sns").create_topic(Name="alerts")
    executioner = Executioner()
    # Signing, and putting a user agent together, would be a third of what a call to moto costs.
    plain = Config(signature_version=UNSIGNED, user_agent="tests")
    unsigned = boto3.resource("dynamodb", config=plain)
    unsigned.meta.client.meta.events.register("before-call.dynamodb", _answer)
    dynamodb: Any = WatchedAws("dynamodb", unsigned.meta.client, executioner)
    dynamodb.create_table(TableName=settings.table_name, **table_properties())
    table = Table(dynamodb, settings.table_name)
    control = Control(
        settings=settings,
        now=clock,
        state=State(table),
        pools=Pools(table),
        fleet=FleetStore(table),
        queues=queues,
        outbox=Outbox(
            table,
            lambda: boto3.client("events"),
            settings.event_bus_name,
            Topic(lambda: boto3.client("sns"), settings.alert_topic_arn),
        ),
        who="test",
    )
    with (
        httpx.Client(
            base_url=settings.cloudflare_api_url, transport=WatchedTransport(executioner)
        ) as api,
        httpx.Client(transport=WatchedTransport(executioner)) as door,
    ):
        limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
        cloudflare = CloudflareClient(
            api,
            account_id=settings.cloudflare_account_id,
            token=emulator.api_token,
            budget=DynamoBudget(table, limits, clock=clock),
            clock=clock,
        )

        def router() -> RouterClient:
            fleet = control.fleet.get()
            return RouterClient(
                door,
                url=fleet.router_url,
                script=router_script(settings.fleet),
                fleet_uid=fleet.uid,
                secret=lambda: SECRET,
                clock=utc_now,  # the router judges signatures by the real time
            )

        outside = Outside(
            cloudflare=lambda: cloudflare,
            router=router,
            admin_secret=lambda: SECRET,
            migrations=MigrationStore(table, boto3.client("s3"), settings.bucket_name),
            channels=lambda: (control.outbox.topic,),
        )
        queues.sent = executioner.happened
        world = World(control, outside, clock, queues, executioner, settle=emulator.settle)
        InitFleet(control, outside, time.sleep, lambda _: None)()
        push_migrations(outside.migrations, MIGRATIONS, pushed_by="test", now=clock)
        queues.heap.clear()
        yield world


def _answer(model: OperationModel, params: dict[str, Any], **_: Any) -> Any:
    """Answer a call without HTTP, where that can be done; the walks make tens of thousands."""
    answer = answer_directly(model.name, params["body"])
    if answer is None:
        return None
    said = {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RetryAttempts": 0}
    return SimpleNamespace(status_code=200), {**json.loads(answer), "ResponseMetadata": said}


def _empty(emulator: Emulator) -> None:
    """Undo faults, and delete the Workers of earlier tests: a deployment restarts all."""
    httpx.post(f"{emulator.control_url}/reset").raise_for_status()
    with httpx.Client(
        base_url=f"{emulator.base_url}/accounts/{emulator.account.account_id}/workers",
        headers={"Authorization": f"Bearer {emulator.api_token}"},
    ) as workers:
        for script in workers.get("/scripts").raise_for_status().json()["result"]:
            path = f"/scripts/{script['id']}"
            workers.delete(path, params={"force": "true"}).raise_for_status()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where long work is done."""
    return tmp_path / "work"


@pytest.fixture
def bucket(world: World, folder: Path) -> Bucket:
    """The bucket of a world that does long work too."""
    return add_long_work(world, folder)


@pytest.fixture
def tenant(world: World, bucket: Bucket) -> Tenant:
    """A tenant that is served and has notes, in a world that does long work too."""
    tenant = live(world, "org_a")
    api(world).d1.query(tenant.database_id or "", ROWS)
    return tenant


@pytest.fixture
def stats(emulator: Emulator) -> Callable[[], dict[str, Any]]:
    """Return what the emulator counted."""
    return lambda: httpx.get(f"{emulator.control_url}/stats").json()
