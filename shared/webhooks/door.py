"""What the webhooks' doors have in common: check a request, verify it, keep aside what is broken.

Checks run in one order, the cheap and harmless ones first: 404, 405, 415, 413, 400, 401. What is
not well signed is never stored, and its sender learns nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from aws_lambda_powertools import Logger
from flask import Response, g, request

from shared.observability import Meter
from shared.webhooks.documents import Document, read_document
from shared.webhooks.families import Family, Verified
from shared.webhooks.http import (
    Refusal,
    answer,
    check_content,
    check_method,
    lower_headers,
    note,
    read_body,
)
from shared.webhooks.parsing import Malformed
from shared.webhooks.ports import KeepAside, Secrets
from shared.webhooks.verification import verify_request

__all__ = ["Provider", "Reception", "Taken", "keep_aside", "take"]


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


@dataclass(frozen=True)
class Taken(Generic[P]):
    """Hold a request that proved its sender."""

    adapter: P
    document: Document
    verified: Verified
    body: bytes


def take(on: Reception[P], kind: str, provider: str) -> Taken[P]:
    """Check and verify the request at hand, signed with the secret `<kind>/<provider>`.

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


def keep_aside(keeper: KeepAside, taken: Taken[P], malformed: Malformed) -> Response:
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
