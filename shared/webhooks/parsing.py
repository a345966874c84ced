"""Understand a verified body, whoever sent it: kinds of fields, outcomes, careful parsing.

An adapter says which model the body of a type of event has and what it means; what is the same for
all (broken shapes, flawed JSON, ids that could not be keys) lives here.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
)

from shared.domain.event_fields import EventId, EventType
from shared.settings import BadSettings
from shared.webhooks.documents import Document

__all__ = [
    "Ignored",
    "Malformed",
    "Moment",
    "Wire",
    "choose_providers",
    "event_id_at",
    "parse_as",
    "type_at",
]

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


Moment = Annotated[datetime, BeforeValidator(_no_flag), AfterValidator(_utc)]
"""ISO 8601, or a Unix time in seconds or milliseconds (whichever its size says)."""


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


M = TypeVar("M", bound=BaseModel)
E = TypeVar("E")
P = TypeVar("P")


def type_at(document: Document, *path: str, event_id: str | None = None) -> str | Malformed:
    """Return the type of an event, found at `path`, or why there is none.

    `event_id` is the one that is already known, for the record of what is malformed.
    """
    try:
        return _EVENT_TYPE.validate_python(_at(document.value, path))
    except ValidationError:
        return Malformed(document.flaw or f"{'.'.join(path)}: no type of event", event_id)


def parse_as(
    model: type[M],
    document: Document,
    understand: Callable[[M], E],
    *,
    event_id: str | None = None,
) -> E | Malformed:
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


def choose_providers(setting: str, names: Iterable[str], known: Mapping[str, P]) -> Mapping[str, P]:
    """Return the adapters that a deployment chose by name in a setting.

    Raises:
        BadSettings: one line that names the setting and what may stand in it.
    """
    chosen = tuple(dict.fromkeys(names))
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise BadSettings(f"{setting}: {', '.join(unknown)}: not of {', '.join(sorted(known))}")
    return MappingProxyType({name: known[name] for name in chosen})
