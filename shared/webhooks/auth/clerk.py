"""Clerk: Standard Webhooks in Svix's dress.

Source: clerk.com/docs/guides/development/webhooks/overview and Clerk's OpenAPI description. The
envelope's `timestamp` is in milliseconds by the text and in seconds by the example, so it is not
used: order is told by the object's own `updated_at` (milliseconds), which deletions do not carry.
"""

from shared.domain.auth_events import AuthEvent
from shared.domain.event_fields import TenantId
from shared.webhooks.auth.base import (
    ORGANIZATIONS_AND_USERS,
    AuthProvider,
    DisplayName,
    Parsed,
    TenantIs,
    route,
)
from shared.webhooks.documents import Document
from shared.webhooks.families import StandardWebhooks, Verified
from shared.webhooks.parsing import Moment, Wire, parse_as

__all__ = ["CLERK"]


class _Object(Wire):
    id: TenantId
    name: DisplayName = None
    created_at: Moment | None = None
    updated_at: Moment | None = None


class _Event(Wire):
    data: _Object


def _parse(document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:
    routed = route(
        document, ORGANIZATIONS_AND_USERS, tenant_is, "type", event_id=verified.message_id
    )
    if not isinstance(routed, tuple):
        return routed
    type_, verb = routed

    def understand(event: _Event) -> AuthEvent:
        return AuthEvent(
            provider="clerk",
            event_id=verified.message_id or "",
            type=type_,
            verb=verb,
            tenant_id=event.data.id,
            occurred_at=event.data.updated_at or event.data.created_at,
            display_name=event.data.name,
        )

    return parse_as(_Event, document, understand, event_id=verified.message_id)


CLERK = AuthProvider("clerk", StandardWebhooks(prefixes=("svix", "webhook")), _parse)
