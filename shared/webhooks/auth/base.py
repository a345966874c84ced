"""What the adapters of the auth providers share: outcomes, kinds of fields, careful parsing.

An adapter says for each type of event which verb it is and which model its body has; everything
else (unknown types, broken shapes, flawed JSON) is the same for all and lives here.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, Protocol, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

from shared.domain.auth_events import MAX_DISPLAY_NAME, AuthEvent, EventId, EventType, Verb
from shared.webhooks.documents import Document
from shared.webhooks.families import Family, Verified

__all__ = [
    "AuthProvider",
    "DisplayName",
    "Ignored",
    "Malformed",
    "Moment",
    "Parsed",
    "TenantIs",
    "Verbs",
    "Wire",
    "event_id_at",
    "parse_as",
    "route",
]

TenantIs = Literal["organization", "user"]
Verbs = Mapping[str, tuple[TenantIs | None, Verb]]
"""By type of event: which kind of object it is about (None: always a tenant), what it asks."""

_EVENT_ID = TypeAdapter(EventId)
_EVENT_TYPE = TypeAdapter(EventType)


class Wire(BaseModel):
    """Be the base of models of a provider's JSON: the fields that we use, and no others."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


def _utc(value: datetime) -> datetime:
    # no provider means anything but UTC when it leaves the zone out
    if value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time out of any range") from None


def _no_flag(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("not a time")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _tidy(value: str) -> str | None:
    text = "".join(c if c.isprintable() else " " for c in value)
    return " ".join(text.split())[:MAX_DISPLAY_NAME] or None


Moment = Annotated[datetime, BeforeValidator(_no_flag), AfterValidator(_utc)]
"""ISO 8601, or a Unix time in seconds or milliseconds (whichever its size says)."""

DisplayName = Annotated[str | None, AfterValidator(lambda v: None if v is None else _tidy(v))]
"""A name for people: one line, printable, cut at its greatest length."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Say that an event is none of our business; nothing is stored. `reason` may be told."""

    type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """Say that a well-signed event could not be understood; it is kept aside for a person.

    `reason` names fields, never values.
    """

    reason: str
    event_id: str | None = None
    mode: str = "live"


Parsed = AuthEvent | Ignored | Malformed
M = TypeVar("M", bound=BaseModel)


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
    try:
        type_ = _EVENT_TYPE.validate_python(_at(document.value, path))
    except ValidationError:
        return Malformed(document.flaw or f"{'.'.join(path)}: no type of event", event_id)
    if type_ not in verbs:
        return Ignored(type_, "no tenant depends on this type of event")
    kind, verb = verbs[type_]
    if kind is not None and kind != tenant_is:
        return Ignored(type_, f"a tenant is a{'n' * (tenant_is[0] == 'o')} {tenant_is} here")
    return type_, verb


def parse_as(
    model: type[M],
    document: Document,
    understand: Callable[[M], AuthEvent],
    *,
    event_id: str | None = None,
) -> AuthEvent | Malformed:
    """Return the event that `understand` makes of a document of a known type."""
    if document.flaw is not None:
        return Malformed(document.flaw, event_id)
    try:
        return understand(model.model_validate(document.value))
    except ValidationError as error:
        return Malformed(_reason(error), event_id)


def event_id_at(document: Document, *path: str) -> str | None:
    """Return the event id at `path`, or None: for documents that may be broken elsewhere."""
    try:
        return _EVENT_ID.validate_python(_at(document.value, path))
    except ValidationError:
        return None


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _reason(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'body'}: {p['msg']}" for p in problems)[
        :500
    ]
