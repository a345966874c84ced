"""What the adapters of the billing providers share: kinds of fields, statuses, careful parsing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Protocol, TypeVar

from pydantic import BaseModel, BeforeValidator, Field

from shared.domain.billing_events import BillingEvent
from shared.domain.event_fields import Mode, TenantId
from shared.domain.links import Hint
from shared.domain.subscription import BillingId, Fact, Standing
from shared.webhooks.documents import Document
from shared.webhooks.families import Family, Verified
from shared.webhooks.parsing import Ignored, Malformed, Wire, parse_as

__all__ = [
    "COMMON_STATUSES",
    "NOT_OURS",
    "BillingProvider",
    "IdOrObject",
    "Parsed",
    "Reading",
    "Status",
    "Tagged",
    "hint_of",
    "read_as",
    "standing_fact",
]

COMMON_STATUSES: Final[Mapping[str, tuple[Standing, bool]]] = MappingProxyType(
    {
        "active": (Standing.ACTIVE, False),
        "trialing": (Standing.ACTIVE, False),
        "past_due": (Standing.PAST_DUE, False),
        "paused": (Standing.SUSPENDED, False),
        "canceled": (Standing.ENDED, True),
    }
)
"""What a status means, and whether nothing can follow it: those that every provider has."""

NOT_OURS = "no subscription depends on this type of event"


@dataclass(frozen=True, slots=True)
class Reading:
    """Say how a deployment reads events.

    `mode` is the deployment's own, for providers whose events do not tell theirs. `ours` says that
    the SaaS's server alone writes what a payer's browser could write too (Paddle's `custom_data`).
    """

    mode: Mode = "live"
    ours: bool = False


Parsed = BillingEvent | Ignored | Malformed
M = TypeVar("M", bound=BaseModel)


class Parse(Protocol):
    """Understand a provider's event."""

    def __call__(self, document: Document, verified: Verified, reading: Reading) -> Parsed:
        """Return what a verified document means; raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class BillingProvider:
    """Hold one billing provider: its name in the URL and in `BILLING_PROVIDERS`, its ways."""

    name: str
    family: Family
    parse: Parse


Status = Annotated[str, Field(max_length=100)]
"""The provider's own word for how a subscription stands: one of the future is let through."""


class Tagged(Wire):
    """Hold what the SaaS wrote to an object of the provider's."""

    tenant_id: TenantId | None = None


def _id_of(value: object) -> object:
    return value.get("id") if isinstance(value, dict) else value


IdOrObject = Annotated[BillingId, BeforeValidator(_id_of)]
"""An id, or the object itself where the provider was asked to expand it."""


def hint_of(tagged: Tagged | None, *, vouched: bool = True) -> Hint | None:
    """Return the tenant that an object names, if it names one."""
    if tagged is None or tagged.tenant_id is None:
        return None
    return Hint(tenant_id=tagged.tenant_id, vouched=vouched)


def standing_fact(
    status: str,
    known: Mapping[str, tuple[Standing, bool]],
    *,
    at: datetime,
    ends_at: datetime | None = None,
    began_at: datetime | None = None,
) -> Fact | None:
    """Return the fact that a provider's status is, None if the status is not known.

    `known` gives each status's standing, and whether nothing can follow it.
    """
    if status not in known:
        return None
    standing, final = known[status]
    return Fact(
        standing=standing,
        at=at,
        final=final,
        ends_at=None if final else ends_at,
        began_at=began_at,
        said=status,
    )


def read_as(
    model: type[M],
    document: Document,
    understand: Callable[[M], Any],
    *,
    event_id: str | None,
    mode: Mode,
) -> Parsed:
    """Return what `understand` makes of a document of a known type; broken ones keep the mode."""
    parsed: Parsed = parse_as(model, document, understand, event_id=event_id)
    return replace(parsed, mode=mode) if isinstance(parsed, Malformed) else parsed
