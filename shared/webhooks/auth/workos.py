"""WorkOS: `WorkOS-Signature: t=<milliseconds>, v1=<hex>`.

Source: workos.com/docs/events and the Python SDK's `webhooks._verification`, whose window is 180
seconds. The type is in `event`. The tenant is WorkOS's own id of the object: an `external_id` may
be given or changed later, and a database must not change hands then.
"""

from shared.domain.auth_events import AuthEvent
from shared.domain.event_fields import EventId, TenantId
from shared.webhooks.auth.base import (
    ORGANIZATIONS_AND_USERS,
    AuthProvider,
    DisplayName,
    Parsed,
    TenantIs,
    route,
)
from shared.webhooks.documents import Document
from shared.webhooks.families import StampedHeader, Verified
from shared.webhooks.parsing import Moment, Wire, event_id_at, parse_as

__all__ = ["WORKOS"]


class _Object(Wire):
    id: TenantId
    name: DisplayName = None
    updated_at: Moment | None = None


class _Event(Wire):
    id: EventId
    data: _Object
    created_at: Moment | None = None


def _parse(document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:  # noqa: ARG001
    event_id = event_id_at(document, "id")
    routed = route(document, ORGANIZATIONS_AND_USERS, tenant_is, "event", event_id=event_id)
    if not isinstance(routed, tuple):
        return routed
    type_, verb = routed

    def understand(event: _Event) -> AuthEvent:
        # the object's own time is that of its last change, which a deletion is not
        changed = event.data.updated_at if verb != "tenant.removed" else None
        return AuthEvent(
            provider="workos",
            event_id=event.id,
            type=type_,
            verb=verb,
            tenant_id=event.data.id,
            occurred_at=changed or event.created_at,
            display_name=event.data.name,
        )

    return parse_as(_Event, document, understand, event_id=event_id)


_FAMILY = StampedHeader("workos-signature", milliseconds=True, tolerance=180)
WORKOS = AuthProvider("workos", _FAMILY, _parse)
