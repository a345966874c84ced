"""The door of the billing providers: how their events are read, and what is noted of them."""

from dataclasses import dataclass

from flask import Flask, Response, g

from shared.domain.billing_events import BillingEvent
from shared.webhooks.billing import BillingProvider, Parsed, Reading
from shared.webhooks.door import Reception, Taken, webhook_app
from shared.webhooks.http import answer, note
from shared.webhooks.ports import AcceptBillings

__all__ = ["Dependencies", "create_app"]


@dataclass(frozen=True)
class Dependencies:
    """Hold what the door stands on."""

    reception: Reception[BillingProvider]
    reading: Reading
    accept: AcceptBillings


def create_app(on: Dependencies) -> Flask:
    """Return the app that serves `POST /webhooks/billing/{provider}`."""

    def understand(taken: Taken[BillingProvider]) -> Parsed:
        return taken.adapter.parse(taken.document, taken.verified, on.reading)

    def accept(event: BillingEvent, taken: Taken[BillingProvider]) -> Response:
        subscriptions = [word.subscription_id for word in event.words if word.subscription_id]
        note(
            event_id=event.event_id,
            mode=event.mode,
            type=event.type,
            subscription_id=", ".join(subscriptions) or None,
        )
        accepted = on.accept.billing(event, body_sha256=taken.sha256, trace=g.trace)
        return answer(accepted.status, accepted.tenant_status, accepted.reason)

    return webhook_app("billing", on.reception, on.accept, understand, accept)
