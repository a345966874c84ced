"""Events of auth providers, as the door hands them to the use case."""

from datetime import UTC, datetime
from typing import Any

from shared.domain.auth_events import AuthEvent

CREATED_AT = datetime(2026, 11, 1, tzinfo=UTC)


def signup(tenant_id: str, **changes: Any) -> AuthEvent:
    """Return the event that asks for a tenant."""
    fields: dict[str, Any] = {
        "provider": "standard",
        "event_id": f"evt_{tenant_id}",
        "type": "tenant.created",
        "verb": "tenant.requested",
        "tenant_id": tenant_id,
        "occurred_at": CREATED_AT,
    }
    return AuthEvent.model_validate(fields | changes)
