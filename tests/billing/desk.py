"""Whoever takes billing's words, over a real table, with a clock that stands still."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

import boto3

from shared.alerting.sns import connect_topic
from shared.aws.dead_letters import connect_dead_letters
from shared.aws.fleet import FleetStore
from shared.aws.items import Change
from shared.aws.outbox import connect_outbox
from shared.aws.pools import Pools
from shared.aws.queues import Queues
from shared.aws.state import State
from shared.aws.table import Table
from shared.domain.billing_events import BillingEvent
from shared.domain.messages import Message
from shared.domain.standing import Entitlement
from shared.domain.tenant import Tenant, TenantStatus
from shared.settings import Settings
from shared.usecases.accept_billing import AcceptBilling
from shared.usecases.accept_signup import AcceptSignup
from shared.usecases.context import Control
from shared.usecases.rights import rights_of
from shared.webhooks.billing import BILLING_PROVIDERS, Reading
from shared.webhooks.documents import read_document
from shared.webhooks.families import Verified
from shared.webhooks.ports import Accepted
from tests.support.table import table_properties

SERVED = {TenantStatus.ACTIVE, TenantStatus.ACTIVATING}


@dataclass
class Remembered:
    """Stand for the queues: keep what was sent, with its delay."""

    sent: list[tuple[Message, float]] = field(default_factory=list)

    def send(self, messages: Sequence[Message], *, after: float = 0) -> None:
        self.sent += [(message, after) for message in messages]

    def wake(self, script: str, trace: str) -> None:
        raise AssertionError("billing wakes no shard")


@dataclass
class Desk:
    """Hold the use cases and look at what they left."""

    control: Control
    queues: Remembered
    fetches: tuple[str, ...]
    moment: list[datetime]
    clients: "Clients"
    accept: AcceptBilling = field(init=False)

    def __post_init__(self) -> None:
        letters = self.clients.letters
        self.accept = AcceptBilling(self.control, letters, lambda name: name in self.fetches)

    @property
    def table(self) -> Table:
        return self.control.state.table

    def pass_(self, **delta: float) -> None:
        self.moment[0] += timedelta(**delta)

    def hear(self, provider: str, body: dict[str, Any], message_id: str = "") -> Accepted:
        """Take an event as the door does, once it was verified."""
        raw = json.dumps(body).encode()
        digest = hashlib.sha256(raw).hexdigest()
        settings = self.control.settings
        parsed = BILLING_PROVIDERS[provider].parse(
            read_document(raw),
            Verified(0, self.moment[0].timestamp(), message_id or f"msg_{digest[:20]}"),
            Reading(settings.billing_mode, ours=settings.paddle_custom_data == "server"),
        )
        assert isinstance(parsed, BillingEvent), parsed
        return self.accept.billing(parsed, body_sha256=digest, trace="t")

    def signup(self) -> AcceptSignup:
        return AcceptSignup(self.control, self.accept.dead_letters)

    def begin(self, tenant_id: str, status: str = "active", **more: Any) -> Tenant:
        """Let a tenant be there, as if it had signed up long ago."""
        now = self.moment[0]
        data = {"tenant_id": tenant_id, "status": status, "class_": "weur", "database_ulid": "U"}
        times = {"created_at": now, "updated_at": now, "status_since": now}
        tenant = Tenant.model_validate(data | times | more)
        self.control.state.commit(Change(None, tenant))
        return tenant

    def tenant(self, tenant_id: str) -> Tenant:
        found = self.control.state.tenant(tenant_id)
        assert found is not None
        return found

    def status(self, tenant_id: str) -> str:
        """Return how a tenant stands; one that is on its way to be served counts as served."""
        status = self.tenant(tenant_id).status
        return "served" if status in SERVED else str(status)

    def entitlement(self, tenant_id: str, episode: int = 1) -> Entitlement:
        return rights_of(self.control, tenant_id).of(episode)

    def alerts(self) -> list[str]:
        """Return the kinds of alerts in the outbox, in their order."""
        return [str(row["detail"]["kind"]) for row in self.table.query("OUTBOX")]

    def messages(self, kind: str) -> list[str]:
        return [message.id for message, _ in self.queues.sent if message.kind == kind]

    def items(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Return every item of the table by its key."""
        found = self.clients.dynamodb.scan(TableName=self.table.name, ConsistentRead=True)["Items"]
        return {(str(item["pk"]), str(item["sk"])): item for item in found}


class Clients:
    """Hold the clients that all desks of a test share: to make one takes longer than a table."""

    def __init__(self) -> None:
        self.dynamodb: Any = boto3.resource("dynamodb").meta.client
        self.letters = connect_dead_letters("files")


def open_desk(
    clients: Clients, settings: Settings, fetches: tuple[str, ...], now: datetime
) -> Desk:
    clients.dynamodb.create_table(TableName=settings.table_name, **table_properties())
    table, queues, moment = Table(clients.dynamodb, settings.table_name), Remembered(), [now]
    control = Control(
        settings=settings,
        now=lambda: moment[0],
        state=State(table),
        pools=Pools(table),
        fleet=FleetStore(table),
        queues=cast("Queues", queues),
        outbox=connect_outbox(
            table, settings.event_bus_name, connect_topic(settings.alert_topic_arn)
        ),
        who="test",
    )
    return Desk(control, queues, fetches, moment, clients)
