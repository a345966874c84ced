"""What the webhooks' doors have in common: all but how an event is read and who accepts it.

Checks run in one order, the cheap and harmless ones first: 404, 405, 415, 413, 400, 401. What is
not well signed is never stored, and its sender learns nothing.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from aws_lambda_powertools import Logger
from flask import Flask, Response, g, request
from ulid import ULID

from shared.observability import Meter, make_logger
from shared.webhooks.documents import Document, read_document
from shared.webhooks.families import Family, Verified
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
from shared.webhooks.parsing import Ignored, Malformed
from shared.webhooks.ports import KeepAside, Secrets
from shared.webhooks.verification import verify_request

__all__ = ["Provider", "Reception", "Taken", "reception", "webhook_app"]


class Provider(Protocol):
    """Sign webhooks in one of the families' ways."""

    @property
    def name(self) -> str:
        """Return the name in the URL."""
        ...

    @property
    def family(self) -> Family:
        """Return how it signs."""
        ...


E = TypeVar("E")
P = TypeVar("P", bound=Provider)


@dataclass(frozen=True, kw_only=True)
class Reception(Generic[P]):
    """Hold what a door stands on; `now` is Unix time, `new_trace` names each request."""

    providers: Mapping[str, P]
    secrets: Secrets
    now: Callable[[], float]
    new_trace: Callable[[], str]
    logger: Logger
    meter: Meter


def reception(service: str, providers: Mapping[str, P], secrets: Secrets) -> Reception[P]:
    """Return what the door of a function stands on in Lambda: its own log, the real clock."""
    return Reception(
        providers=providers,
        secrets=secrets,
        now=time.time,
        new_trace=lambda: str(ULID()),
        logger=make_logger(service),
        meter=Meter(service),
    )


@dataclass(frozen=True)
class Taken(Generic[P]):
    """Hold a request that proved its sender."""

    adapter: P
    document: Document
    verified: Verified
    body: bytes

    @property
    def sha256(self) -> str:
        """Return the body's SHA-256 in hex, which tells a resend from another body."""
        return hashlib.sha256(self.body).hexdigest()


def webhook_app(
    kind: str,
    on: Reception[P],
    keeper: KeepAside,
    understand: Callable[[Taken[P]], E | Ignored | Malformed],
    accept: Callable[[E, Taken[P]], Response],
) -> Flask:
    """Return the app that serves `POST /webhooks/<kind>/{provider}`.

    A provider signs with the secret `<kind>/<provider>`. `understand` raises nothing; what it
    finds to be an event is for `accept` to answer.
    """
    app = json_app(__name__, on.logger, on.meter, on.new_trace)

    def webhook(provider: str) -> Response:
        taken = _take(on, kind, provider)
        parsed = understand(taken)
        match parsed:
            case Ignored(type=type_, reason=reason):
                note(type=type_)
                return answer("ignored", reason=reason)
            case Malformed():
                return _keep_aside(keeper, taken, parsed)
            case _:
                return accept(parsed, taken)

    serve(app, f"/webhooks/{kind}/<provider>", webhook)
    return app


def _take(on: Reception[P], kind: str, provider: str) -> Taken[P]:
    """Check and verify the request at hand.

    Raises:
        Refusal, NotJson, BadSignature, NotConfigured, Transient: see `json_app`, which answers.
    """
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
        f"{kind}/{adapter.name}",
        lower_headers(request),
        body,
        now=now,
        logger=on.logger,
    )
    note(secret_index=verified.secret_index, message_id=verified.message_id)
    if verified.sent_at is not None:
        on.meter.seconds("WebhookAge", now - verified.sent_at, provider=adapter.name)
    return Taken(adapter, document, verified, body)


def _keep_aside(keeper: KeepAside, taken: Taken[P], malformed: Malformed) -> Response:
    """Keep a well-signed body that could not be understood, and acknowledge it."""
    note(event_id=malformed.event_id)
    keeper.dead_letter(
        provider=taken.adapter.name,
        mode=malformed.mode,
        event_id=malformed.event_id,
        reason=malformed.reason,
        body=taken.body,
        trace=g.trace,
    )
    return answer("dead_lettered", reason=malformed.reason)
