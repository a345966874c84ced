"""The door of the auth providers: how their events are read, and what is noted of them."""

from dataclasses import dataclass

from flask import Flask, Response, g

from shared.domain.auth_events import AuthEvent
from shared.webhooks.auth import AuthProvider, Parsed, TenantIs
from shared.webhooks.door import Reception, Taken, webhook_app
from shared.webhooks.http import answer, note
from shared.webhooks.ports import AcceptSignups

__all__ = ["Dependencies", "create_app"]


@dataclass(frozen=True)
class Dependencies:
    """Hold what the door stands on."""

    reception: Reception[AuthProvider]
    tenant_is: TenantIs
    accept: AcceptSignups


def create_app(on: Dependencies) -> Flask:
    """Return the app that serves `POST /webhooks/auth/{provider}`."""

    def understand(taken: Taken[AuthProvider]) -> Parsed:
        return taken.adapter.parse(taken.document, taken.verified, on.tenant_is)

    def accept(event: AuthEvent, taken: Taken[AuthProvider]) -> Response:
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
        accepted = on.accept.signup(event, body_sha256=taken.sha256, trace=g.trace)
        return answer(accepted.status, accepted.tenant_status)

    return webhook_app("auth", on.reception, on.accept, understand, accept)
