"""Supabase's Auth hook, in its HTTP form: Standard Webhooks with two habits of its own.

Source: github.com/supabase/auth, internal/hooks/v0hooks. `webhook-id` is new for every attempt, so
the event's id is `metadata.uuid`; several signatures are joined with a comma and a blank. The hook
is part of the sign-up: it has 5 seconds, and any refusal fails the sign-up itself. Supabase knows
users only, so the user is the tenant whatever `TENANT_IS` says; nothing tells of deletions.
"""

from shared.domain.auth_events import AuthEvent
from shared.domain.event_fields import EventId, TenantId
from shared.webhooks.auth.base import AuthProvider, Parsed, TenantIs, Verbs, route
from shared.webhooks.documents import Document
from shared.webhooks.families import StandardWebhooks, Verified
from shared.webhooks.parsing import Moment, Wire, event_id_at, parse_as

__all__ = ["SUPABASE"]

# The hook before the insert is the one that every hosted plan has; the user's id is final by then.
_VERBS: Verbs = {
    "after-user-created": (None, "tenant.requested"),
    "before-user-created": (None, "tenant.requested"),
}


class _Metadata(Wire):
    uuid: EventId
    time: Moment | None = None


class _User(Wire):
    id: TenantId


class _Event(Wire):
    metadata: _Metadata
    user: _User


def _parse(document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:  # noqa: ARG001
    event_id = event_id_at(document, "metadata", "uuid")
    routed = route(document, _VERBS, tenant_is, "metadata", "name", event_id=event_id)
    if not isinstance(routed, tuple):
        return routed
    type_, verb = routed

    def understand(event: _Event) -> AuthEvent:
        return AuthEvent(
            provider="supabase",
            event_id=event.metadata.uuid,
            type=type_,
            verb=verb,
            tenant_id=event.user.id,
            occurred_at=event.metadata.time,
        )

    return parse_as(_Event, document, understand, event_id=event_id)


SUPABASE = AuthProvider("supabase", StandardWebhooks(), _parse)
