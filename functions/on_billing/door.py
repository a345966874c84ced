"""The door of the billing providers: understands a verified request, hands it on, answers."""

import hashlib
from dataclasses import dataclass
from typing import assert_never

from flask import Flask, Response, g

from shared.domain.billing_events import BillingEvent
from shared.webhooks.billing import BillingProvider, Reading
from shared.webhooks.door import Reception, keep_aside, take
from shared.webhooks.http import answer, json_app, note, serve
from shared.webhooks.parsing import Ignored, Malformed
from shared.webhooks.ports import AcceptBillings

__all__ = ["Dependencies", "create_app"]


@dataclass(frozen=True, kw_only=True)
class Dependencies(Reception[BillingProvider]):
    """Hold what the door stands on."""

    reading: Reading
    accept: AcceptBillings


def create_app(on: Dependencies) -> Flask:
    """Return the app that serves `POST /webhooks/billing/{provider}`."""
    app = json_app(__name__, on.logger, on.meter, on.new_trace)

    def billing_webhook(provider: str) -> Response:
        taken = take(on, "billing", provider)
        parsed = taken.adapter.parse(taken.document, taken.verified, on.reading)
        match parsed:
            case BillingEvent():
                return _accept(on, parsed, taken.body)
            case Ignored(type=type_, reason=reason):
                note(type=type_)
                return answer("ignored", reason=reason)
            case Malformed():
                return keep_aside(on.accept, taken, parsed)
            case _:
                assert_never(parsed)

    serve(app, "/webhooks/billing/<provider>", billing_webhook)
    return app


def _accept(on: Dependencies, event: BillingEvent, body: bytes) -> Response:
    subscriptions = [word.subscription_id for word in event.words if word.subscription_id]
    note(
        event_id=event.event_id,
        mode=event.mode,
        type=event.type,
        subscription_id=", ".join(subscriptions) or None,
    )
    digest = hashlib.sha256(body).hexdigest()
    accepted = on.accept.billing(event, body_sha256=digest, trace=g.trace)
    return answer(accepted.status, accepted.tenant_status, accepted.reason)
