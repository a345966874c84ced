"""Auth0 Event Streams: CloudEvents with a static `Authorization` header, bearer or basic.

Source: auth0.com/docs/customize/events and its events-schema.json. Test deliveries say
`a0purpose: test`. Auth0 retries for seconds only and not at all after a 4xx.
"""

from shared.domain.auth_events import AuthEvent
from shared.domain.event_fields import EventId, Mode, TenantId
from shared.webhooks.auth.base import (
    ORGANIZATIONS_AND_USERS,
    AuthProvider,
    DisplayName,
    Parsed,
    TenantIs,
    route,
)
from shared.webhooks.documents import Document
from shared.webhooks.families import StaticCredential, Verified
from shared.webhooks.parsing import Moment, Wire, event_id_at, parse_as

__all__ = ["AUTH0"]


class _Organization(Wire):
    id: TenantId
    name: DisplayName = None
    display_name: DisplayName = None


class _User(Wire):
    user_id: TenantId


class _OrganizationData(Wire):
    object: _Organization


class _UserData(Wire):
    object: _User


class _Event(Wire):
    id: EventId
    time: Moment | None = None
    a0purpose: str | None = None

    @property
    def mode(self) -> Mode:
        return "test" if self.a0purpose == "test" else "live"


class _OrganizationEvent(_Event):
    data: _OrganizationData


class _UserEvent(_Event):
    data: _UserData


def _parse(document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:  # noqa: ARG001
    event_id = event_id_at(document, "id")
    routed = route(document, ORGANIZATIONS_AND_USERS, tenant_is, "type", event_id=event_id)
    if not isinstance(routed, tuple):
        return routed
    type_, verb = routed

    def event(of: _Event, tenant_id: str, display_name: str | None = None) -> AuthEvent:
        return AuthEvent(
            provider="auth0",
            mode=of.mode,
            event_id=of.id,
            type=type_,
            verb=verb,
            tenant_id=tenant_id,
            occurred_at=of.time,
            display_name=display_name,
        )

    def organization(of: _OrganizationEvent) -> AuthEvent:
        found = of.data.object
        return event(of, found.id, found.display_name or found.name)

    def user(of: _UserEvent) -> AuthEvent:
        return event(of, of.data.object.user_id)

    if tenant_is == "organization":
        return parse_as(_OrganizationEvent, document, organization, event_id=event_id)
    return parse_as(_UserEvent, document, user, event_id=event_id)


AUTH0 = AuthProvider("auth0", StaticCredential(("bearer", "basic")), _parse)
