"""The door of the auth providers: understands a verified request, hands it on, answers."""

import hashlib
from dataclasses import dataclass
from typing import assert_never

from flask import Flask, Response, g

from shared.domain.auth_events import AuthEvent
from shared.webhooks.auth import AuthProvider, TenantIs
from shared.webhooks.door import Reception, keep_aside, take
from shared.webhooks.http import answer, json_app, note, serve
from shared.webhooks.parsing import Ignored, Malformed
from shared.webhooks.ports import AcceptSignups

__all__ = ["Dependencies", "create_app"]


@dataclass(frozen=True, kw_only=True)
class Dependencies(Reception[AuthProvider]):
    """Hold what the door stands on."""

    tenant_is: TenantIs
    accept: AcceptSignups


def create_app(on: Dependencies) -> Flask:
    """Return the app that serves `POST /webhooks/auth/{provider}`."""
    app = json_app(__name__, on.logger, on.meter, on.new_trace)

    def auth_webhook(provider: str) -> Response:
        taken = take(on, "auth", provider)
        parsed = taken.adapter.parse(taken.document, taken.verified, on.tenant_is)
        match parsed:
            case AuthEvent():
                return _accept(on, parsed, taken.body)
            case Ignored(type=type_, reason=reason):
                note(type=type_)
                return answer("ignored", reason=reason)
            case Malformed():
                return keep_aside(on.accept, taken, parsed)
            case _:
                assert_never(parsed)

    serve(app, "/webhooks/auth/<provider>", auth_webhook)
    return app


def _accept(on: Dependencies, event: AuthEvent, body: bytes) -> Response:
    note(
        event_id=event.event_id,
        mode=event.mode,
        type=event.type,
        verb=event.verb,
        tenant_id=event.tenant_id,
    )
    if event.mode == "test":
        # the provider's "send a test event" must not make or end a customer
        return answer("ignored", reason="a test delivery")
    digest = hashlib.sha256(body).hexdigest()
    accepted = on.accept.signup(event, body_sha256=digest, trace=g.trace)
    return answer(accepted.status, accepted.tenant_status)
