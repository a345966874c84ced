"""Any sender of Standard Webhooks, with an event shape of our own.

::

    {"type": "billing.active" | "billing.past_due" | "billing.suspended" | "billing.ended"
             | "billing.end_scheduled",
     "timestamp": "2026-09-21T13:33:20Z",       (optional but advised: when it happened)
     "mode": "live" | "test",                   (optional: the deployment's own)
     "data": {"tenant_id": "acme",
              "subscription_id": "sub_1",       (optional: a tenant has one without a name)
              "customer_id": "cus_1",           (optional)
              "began_at": "…", "ends_at": "…"}} (optional)

A subscription with a name never comes back once it has ended. The one without a name does, for
nobody could give it another: there the newest event counts, whatever it is.
"""

from types import MappingProxyType
from typing import Final

from shared.domain.billing_events import BillingEvent, Word
from shared.domain.event_fields import Mode, TenantId
from shared.domain.links import Hint
from shared.domain.subscription import BillingId, Fact, Standing
from shared.webhooks.billing.base import NOT_OURS, BillingProvider, Parsed, Reading, read_as
from shared.webhooks.documents import Document
from shared.webhooks.families import StandardWebhooks, Verified
from shared.webhooks.parsing import Ignored, Malformed, Moment, Wire, type_at

__all__ = ["STANDARD", "nameless"]

_STANDINGS: Final = MappingProxyType(
    {
        "billing.active": Standing.ACTIVE,
        "billing.end_scheduled": Standing.ACTIVE,
        "billing.past_due": Standing.PAST_DUE,
        "billing.suspended": Standing.SUSPENDED,
        "billing.ended": Standing.ENDED,
    }
)


class _Data(Wire):
    tenant_id: TenantId
    subscription_id: BillingId | None = None
    customer_id: BillingId | None = None
    began_at: Moment | None = None
    ends_at: Moment | None = None


class _Event(Wire):
    data: _Data
    timestamp: Moment | None = None
    mode: Mode | None = None


def nameless(tenant_id: str) -> str:
    """Return the id of a tenant's one subscription without a name; no sender can give it."""
    return f"tenant={tenant_id}"


def _parse(document: Document, verified: Verified, reading: Reading) -> Parsed:
    type_ = type_at(document, "type", event_id=verified.message_id)
    if isinstance(type_, Malformed):
        return type_
    if type_ not in _STANDINGS:
        return Ignored(type_, NOT_OURS)
    standing = _STANDINGS[type_]

    def understand(event: _Event) -> BillingEvent:
        data, at = event.data, event.timestamp or verified.sent_at
        fact = Fact.model_validate(
            {
                "standing": standing,
                "at": at,
                "final": standing is Standing.ENDED and data.subscription_id is not None,
                "ends_at": None if standing is Standing.ENDED else data.ends_at,
                "began_at": data.began_at or at,
                "said": type_.removeprefix("billing."),
            }
        )
        word = Word(
            subscription_id=data.subscription_id or nameless(data.tenant_id),
            customer_id=data.customer_id,
            hint=Hint(tenant_id=data.tenant_id, vouched=True),
            fact=fact,
        )
        return BillingEvent(
            provider="standard",
            mode=event.mode or reading.mode,
            event_id=verified.message_id or "",
            type=type_,
            words=(word,),
        )

    message_id = verified.message_id
    return read_as(_Event, document, understand, event_id=message_id, mode=reading.mode)


STANDARD = BillingProvider("standard", StandardWebhooks(), _parse)
