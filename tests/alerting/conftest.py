"""A receiver, channels that post to it, and a control plane that needs no Cloudflare."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import boto3
import httpx
import pytest
from moto import mock_aws

from shared.alerting.posting import Poster
from shared.aws.fleet import FleetStore
from shared.aws.outbox import Outbox
from shared.aws.pools import Pools
from shared.aws.queues import Queues
from shared.aws.state import State
from shared.aws.table import Table
from shared.domain.alert import Alert
from shared.errors import ControlPlaneError
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings
from tests.support.receiver import Receiver
from tests.support.table import table_properties
from tests.usecases.killing import Executioner, WatchedAws

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def alert(**more: Any) -> Alert:
    detail = {
        "id": "01JDCB6M5V5P6Z5N1QG3Y00001",
        "kind": "binding_missing",
        "severity": "error",
        "state": "firing",
        "fingerprint": "f" * 32,
        "summary": "a database is not bound",
        "at": "2026-11-25T12:00:00.000000Z",
    }
    return Alert.of(detail | more)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.stop()


@pytest.fixture
def make_poster() -> Iterator[Callable[..., Poster]]:
    """Make a poster; private addresses are allowed unless said otherwise."""
    with httpx.Client(trust_env=False) as client:

        def make(**more: Any) -> Poster:
            return Poster(client, **{"clock": lambda: NOW, "allow_private": True} | more)

        yield make


@pytest.fixture
def poster(make_poster: Callable[..., Poster]) -> Poster:
    return make_poster()


@dataclass
class Remembering:
    """A channel that remembers what it took; `fails` says what it raises, in turn or always."""

    name: str
    happened: Callable[[str], None]
    took: list[Alert] = field(default_factory=list)
    fails: Callable[[Alert], ControlPlaneError | None] = lambda _: None

    def send(self, alert: Alert) -> None:
        error = self.fails(alert)
        if error is not None:
            raise error
        self.took.append(alert)
        self.happened(f"{self.name} took an alert")

    @property
    def said(self) -> list[str]:
        """What it said, in short: whether it burns, and of which kind."""
        return [f"{each.mark} {each.kind}" for each in self.took]


@dataclass
class Desk:
    """A control plane whose topic and two more channels only remember."""

    control: Control
    moment: list[datetime]
    executioner: Executioner
    topic: Remembering
    chat: Remembering
    pager: Remembering

    @property
    def channels(self) -> tuple[Remembering, ...]:
        return self.topic, self.chat, self.pager

    @property
    def keep(self) -> KeepFindings:
        return KeepFindings(self.control)

    def wait(self, **time: float) -> None:
        self.moment[0] += timedelta(**time)

    def rows(self) -> list[dict[str, Any]]:
        return list(self.control.outbox.waiting())


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        executioner = Executioner()
        dynamodb: Any = WatchedAws("dynamodb", boto3.resource("dynamodb").meta.client, executioner)
        dynamodb.create_table(TableName="state", **table_properties())
        table, moment = Table(dynamodb, "state"), [NOW]
        channels = [Remembering(name, executioner.happened) for name in ("sns", "chat", "pager")]
        control = Control(
            settings=Settings(
                fleet="t",
                table_name="state",
                bucket_name="files",
                event_bus_name="bus",
                alert_topic_arn="arn",
                work_queue_url="work",
                work_dlq_url="work-dlq",
                bind_queue_url="bind",
                bind_dlq_url="bind-dlq",
                backup_queue_url="backup",
                backup_dlq_url="backup-dlq",
                secrets_prefix="test",
                cloudflare_account_id="account",
            ),
            now=lambda: moment[0],
            state=State(table),
            pools=Pools(table),
            fleet=FleetStore(table),
            queues=cast("Queues", None),
            outbox=Outbox(table, lambda: boto3.client("events"), "bus", channels[0]),
            who="test",
        )
        yield Desk(control, moment, executioner, *channels)
