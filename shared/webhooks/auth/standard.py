"""Any sender of Standard Webhooks, with an event shape of our own.

::

    {"type": "tenant.created" | "tenant.updated" | "tenant.deleted",
     "timestamp": "2026-09-21T13:33:20Z",          (optional: when it happened)
     "data": {"id": "acme", "name": "Acme Corp"}}  (name: optional)

The id of the event is the header `webhook-id`.
"""

from shared.domain.auth_events import AuthEvent
from shared.domain.event_fields import TenantId
from shared.webhooks.auth.base import AuthProvider, DisplayName, Parsed, TenantIs, Verbs, route
from shared.webhooks.documents import Document
from shared.webhooks.families import StandardWebhooks, Verified
from shared.webhooks.parsing import Moment, Wire, parse_as

__all__ = ["STANDARD"]

_VERBS: Verbs = {
    "tenant.created": (None, "tenant.requested"),
    "tenant.updated": (None, "tenant.updated"),
    "tenant.deleted": (None, "tenant.removed"),
}


class _Tenant(Wire):
    id: TenantId
    name: DisplayName = None


class _Event(Wire):
    data: _Tenant
    timestamp: Moment | None = None


def _parse(document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:
    routed = route(document, _VERBS, tenant_is, "type", event_id=verified.message_id)
    if not isinstance(routed, tuple):
        return routed
    type_, verb = routed

    def understand(event: _Event) -> AuthEvent:
        return AuthEvent(
            provider="standard",
            event_id=verified.message_id or "",
            type=type_,
            verb=verb,
            tenant_id=event.data.id,
            occurred_at=event.timestamp,
            display_name=event.data.name,
        )

    return parse_as(_Event, document, understand, event_id=verified.message_id)


STANDARD = AuthProvider("standard", StandardWebhooks(), _parse)
