"""Stripe's thin events (`v2.core.event`): a type, the id of an object, and no more.

Source: docs.stripe.com/event-destinations. The finer types tell the status in their name; the
others mean something only to whoever fetches the object.
"""

from types import MappingProxyType
from typing import Final, Literal

from pydantic import StrictBool

from shared.domain.billing_events import BillingEvent, Word
from shared.domain.event_fields import EventId, Mode
from shared.domain.subscription import BillingId
from shared.webhooks.billing.base import NOT_OURS, Parsed, read_as, standing_fact
from shared.webhooks.billing.stripe_objects import STATUSES
from shared.webhooks.documents import Document
from shared.webhooks.parsing import Ignored, Moment, Wire

__all__ = ["THIN", "parse_thin"]

THIN: Final = "v2.core.event"

_SUBSCRIPTION: Final = "v1.customer.subscription."
_STATUS_OF: Final = MappingProxyType(
    {
        **{status: status for status in STATUSES},
        "deleted": "canceled",
        "resumed": "active",
    }
)
"""By the end of a type: the status that it tells."""
_FETCHED: Final = frozenset({"created", "updated", "cancel_at_changed"})


class _Related(Wire):
    id: BillingId


class _Event(Wire):
    id: EventId
    object: Literal["v2.core.event"]
    created: Moment
    livemode: StrictBool
    related_object: _Related


def parse_thin(document: Document, type_: str, *, event_id: str | None, mode: Mode) -> Parsed:
    """Return what a thin event of a type means."""
    what = type_.removeprefix(_SUBSCRIPTION)
    told = what if what in _STATUS_OF or what in _FETCHED else None
    if type_ != "v1.customer.deleted" and (told is None or what == type_):
        return Ignored(type_, NOT_OURS)

    def understand(event: _Event) -> BillingEvent:
        id_ = event.related_object.id
        if told is None:
            word = Word(customer_id=id_, gone_at=event.created)
        else:
            status = _STATUS_OF.get(told, "")
            fact = standing_fact(status, STATUSES, at=event.created)
            word = Word(subscription_id=id_, fact=fact)
        return BillingEvent(
            provider="stripe",
            mode=mode,
            event_id=event.id,
            type=type_,
            words=(word,),
            refetch=word.fact is None and word.gone_at is None,
        )

    return read_as(_Event, document, understand, event_id=event_id, mode=mode)
