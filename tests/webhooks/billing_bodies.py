"""Events of each billing provider, as small as they can be, and what they are read as."""

import json
from datetime import UTC, datetime
from typing import Any

from shared.domain.billing_events import BillingEvent, Word
from shared.webhooks.billing import BILLING_PROVIDERS, Parsed, Reading
from shared.webhooks.documents import read_document
from shared.webhooks.families import Verified

WHEN = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
AT = 1_790_000_000
ISO = "2026-09-21T14:13:20Z"
LATER = "2026-10-11T00:00:00Z"
END = datetime(2026, 10, 11, tzinfo=UTC)


def parse(provider: str, body: bytes | dict[str, Any], **reading: Any) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    verified = Verified(0, float(AT), "msg_1")
    return BILLING_PROVIDERS[provider].parse(
        read_document(raw), verified, Reading(**{"mode": "test", **reading})
    )


def event(provider: str, body: bytes | dict[str, Any], **reading: Any) -> BillingEvent:
    parsed = parse(provider, body, **reading)
    assert isinstance(parsed, BillingEvent), parsed
    return parsed


def word(provider: str, body: bytes | dict[str, Any], **reading: Any) -> Word:
    (only,) = event(provider, body, **reading).words
    return only


def standing(said: Word) -> str | None:
    return None if said.fact is None else said.fact.standing.value


def stripe(type_: str = "customer.subscription.updated", **object_: Any) -> dict[str, Any]:
    small = {"id": "sub_1", "status": "active", "customer": "cus_1", "created": AT - 60}
    return {
        "id": "evt_1",
        "object": "event",
        "created": AT,
        "livemode": False,
        "type": type_,
        "data": {"object": small | object_},
    }


PADDLE: dict[str, Any] = {
    "event_id": "evt_1",
    "event_type": "subscription.updated",
    "occurred_at": ISO,
    "data": {
        "id": "sub_1",
        "status": "active",
        "customer_id": "ctm_1",
        "custom_data": {"tenant_id": "acme"},
        "scheduled_change": None,
    },
}


def paddle(type_: str = "subscription.updated", **data: Any) -> dict[str, Any]:
    return PADDLE | {"event_type": type_, "data": PADDLE["data"] | data}


POLAR: dict[str, Any] = {
    "type": "subscription.updated",
    "timestamp": ISO,
    "data": {
        "id": "7f0c9c58",
        "status": "active",
        "customer_id": "992fae2a",
        "cancel_at_period_end": False,
        "current_period_end": LATER,
        "metadata": {},
        "customer": {"id": "992fae2a", "external_id": "acme"},
    },
}


def polar(type_: str = "subscription.updated", **data: Any) -> dict[str, Any]:
    return POLAR | {"type": type_, "data": POLAR["data"] | data}


STANDARD: dict[str, Any] = {
    "type": "billing.active",
    "timestamp": ISO,
    "data": {"tenant_id": "acme", "subscription_id": "sub_1"},
}
