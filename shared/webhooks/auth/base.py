"""What the adapters of the auth providers share: which verb an event is, and names for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal, Protocol

from pydantic import AfterValidator

from shared.domain.auth_events import MAX_DISPLAY_NAME, AuthEvent, Verb
from shared.webhooks.documents import Document
from shared.webhooks.families import Family, Verified
from shared.webhooks.parsing import Ignored, Malformed, type_at

__all__ = [
    "ORGANIZATIONS_AND_USERS",
    "AuthProvider",
    "DisplayName",
    "Parsed",
    "TenantIs",
    "Verbs",
    "route",
]

TenantIs = Literal["organization", "user"]
Verbs = Mapping[str, tuple[TenantIs | None, Verb]]
"""By type of event: which kind of object it is about (None: always a tenant), what it asks."""

ORGANIZATIONS_AND_USERS: Final[Verbs] = MappingProxyType(
    {
        "organization.created": ("organization", "tenant.requested"),
        "organization.updated": ("organization", "tenant.updated"),
        "organization.deleted": ("organization", "tenant.removed"),
        "user.created": ("user", "tenant.requested"),
        "user.updated": ("user", "tenant.updated"),
        "user.deleted": ("user", "tenant.removed"),
    }
)
"""The types of event of the providers that know both."""


def _tidy(value: str) -> str | None:
    text = "".join(c if c.isprintable() else " " for c in value)
    return " ".join(text.split())[:MAX_DISPLAY_NAME] or None


DisplayName = Annotated[str | None, AfterValidator(lambda v: None if v is None else _tidy(v))]
"""A name for people: one line, printable, cut at its greatest length."""


Parsed = AuthEvent | Ignored | Malformed


class Parse(Protocol):
    """Understand a provider's event."""

    def __call__(self, document: Document, verified: Verified, tenant_is: TenantIs) -> Parsed:
        """Return what a verified document means; raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class AuthProvider:
    """Hold one auth provider: its name in the URL and in `AUTH_PROVIDERS`, its ways."""

    name: str
    family: Family
    parse: Parse


def route(
    document: Document,
    verbs: Verbs,
    tenant_is: TenantIs,
    *path: str,
    event_id: str | None = None,
) -> tuple[str, Verb] | Ignored | Malformed:
    """Return the type of an event, found at `path`, and its verb; or why there is none.

    `event_id` is the one that is already known, for the record of what is malformed.
    """
    type_ = type_at(document, *path, event_id=event_id)
    if isinstance(type_, Malformed):
        return type_
    if type_ not in verbs:
        return Ignored(type_, "no tenant depends on this type of event")
    kind, verb = verbs[type_]
    if kind is not None and kind != tenant_is:
        return Ignored(type_, f"a tenant is a{'n' * (tenant_is[0] == 'o')} {tenant_is} here")
    return type_, verb
