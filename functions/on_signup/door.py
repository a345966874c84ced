"""The door of the auth providers: checks a request, understands it, hands it on, answers.

Checks run in one order, the cheap and harmless ones first: 404, 405, 415, 413, 400, 401. What is
not well signed is never stored, and its sender learns nothing.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import assert_never

from aws_lambda_powertools import Logger
from flask import Flask, Response, g, request

from shared.domain.auth_events import AuthEvent
from shared.observability import Meter
from shared.webhooks.auth import AuthProvider, Ignored, Malformed, TenantIs
from shared.webhooks.documents import read_document
from shared.webhooks.http import (
    Refusal,
    answer,
    check_content,
    check_method,
    json_app,
    lower_headers,
    note,
    read_body,
    serve,
)
from shared.webhooks.ports import Accept, Secrets
from shared.webhooks.verification import verify_request

__all__ = ["Dependencies", "create_app"]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Hold what the door stands on; `now` is Unix time, `new_trace` names each request."""

    providers: Mapping[str, AuthProvider]
    tenant_is: TenantIs
    secrets: Secrets
    accept: Accept
    now: Callable[[], float]
    new_trace: Callable[[], str]
    logger: Logger
    meter: Meter


def create_app(on: Dependencies) -> Flask:
    """Return the app that serves `POST /webhooks/auth/{provider}`."""
    app = json_app(__name__, on.logger, on.meter, on.new_trace)

    def auth_webhook(provider: str) -> Response:
        adapter = on.providers.get(provider)
        if adapter is None:
            raise Refusal(404, "UnknownProvider", "no such provider is configured here")
        note(provider=adapter.name)
        check_method(request)
        check_content(request)
        body = read_body(request)
        document = read_document(body)
        now = on.now()
        verified = verify_request(
            adapter.family,
            on.secrets,
            f"auth/{adapter.name}",
            lower_headers(request),
            body,
            now=now,
            logger=on.logger,
        )
        note(secret_index=verified.secret_index, message_id=verified.message_id)
        if verified.sent_at is not None:
            on.meter.seconds("WebhookAge", now - verified.sent_at, provider=adapter.name)
        parsed = adapter.parse(document, verified, on.tenant_is)
        match parsed:
            case AuthEvent():
                return _accept(on, parsed, body)
            case Ignored(type=type_, reason=reason):
                note(type=type_)
                return answer("ignored", reason=reason)
            case Malformed():
                return _dead_letter(on, adapter.name, parsed, body)
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


def _dead_letter(on: Dependencies, provider: str, malformed: Malformed, body: bytes) -> Response:
    note(event_id=malformed.event_id)
    on.accept.dead_letter(
        provider=provider,
        mode=malformed.mode,
        event_id=malformed.event_id,
        reason=malformed.reason,
        body=body,
        trace=g.trace,
    )
    return answer("dead_lettered", reason=malformed.reason)
