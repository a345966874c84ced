"""Stripe: `Stripe-Signature: t=<seconds>,v1=<hex>`, snapshot events and thin ones.

Source: docs.stripe.com/webhooks, /billing/subscriptions/webhooks and the OpenAPI description.
Metadata does not spread from one object to another, so each object is asked for its own. Payers
can't write it; the `client_reference_id` of a payment link they can, in its address.
"""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from pydantic import StrictBool

from shared.domain.billing_events import BillingEvent, Word
from shared.domain.event_fields import EventId, Mode
from shared.domain.subscription import BillingId
from shared.webhooks.billing.base import (
    NOT_OURS,
    BillingProvider,
    IdOrObject,
    Parsed,
    Reading,
    Tagged,
    hint_of,
    read_as,
)
from shared.webhooks.billing.stripe_objects import StripeSubscription, stripe_word
from shared.webhooks.billing.stripe_thin import THIN, parse_thin
from shared.webhooks.documents import Document
from shared.webhooks.families import StampedHeader, Verified
from shared.webhooks.parsing import Ignored, Malformed, Moment, Wire, event_id_at, type_at

__all__ = ["STRIPE"]


class _Event(Wire):
    id: EventId
    created: Moment
    livemode: StrictBool


class _SubscriptionData(Wire):
    object: StripeSubscription


class _SubscriptionEvent(_Event):
    data: _SubscriptionData


class _Session(Wire):
    customer: IdOrObject | None = None
    subscription: IdOrObject | None = None
    metadata: Tagged | None = None
    payment_link: IdOrObject | None = None
    client_reference_id: str | None = None


class _SessionData(Wire):
    object: _Session


class _SessionEvent(_Event):
    data: _SessionData


class _Details(Wire):
    subscription: IdOrObject | None = None
    metadata: Tagged | None = None


class _Parent(Wire):
    subscription_details: _Details | None = None


class _Invoice(Wire):
    """An invoice; before API version 2025-03-31 it had no parent but named its subscription."""

    customer: IdOrObject | None = None
    parent: _Parent | None = None
    subscription: IdOrObject | None = None
    subscription_details: _Details | None = None

    @property
    def details(self) -> _Details:
        found = self.parent.subscription_details if self.parent else self.subscription_details
        found = found or _Details()
        return (
            found
            if self.subscription is None
            else _Details(subscription=self.subscription, metadata=found.metadata)
        )


class _InvoiceData(Wire):
    object: _Invoice


class _InvoiceEvent(_Event):
    data: _InvoiceData


class _Customer(Wire):
    id: BillingId
    metadata: Tagged | None = None


class _CustomerData(Wire):
    object: _Customer


class _CustomerEvent(_Event):
    data: _CustomerData


def _subscription(event: _SubscriptionEvent, type_: str) -> Word:
    return stripe_word(
        event.data.object, at=event.created, deleted=type_ == "customer.subscription.deleted"
    )


def _session(event: _SessionEvent, _type: str) -> Word:
    """Return the link that a checkout made; whether it was paid, the subscription will say."""
    of = event.data.object
    tagged = of.metadata
    if (tagged is None or tagged.tenant_id is None) and of.payment_link is None:
        # no payment link: the SaaS's server made this session, and wrote the reference itself
        tagged = Tagged.model_validate({"tenant_id": of.client_reference_id})
    return Word(subscription_id=of.subscription, customer_id=of.customer, hint=hint_of(tagged))


def _invoice(event: _InvoiceEvent, _type: str) -> Word:
    """Return the link that an invoice shows; the status of the subscription decides the rest."""
    details = event.data.object.details
    return Word(
        subscription_id=details.subscription,
        customer_id=event.data.object.customer,
        hint=hint_of(details.metadata),
    )


def _customer(event: _CustomerEvent, type_: str) -> Word:
    of = event.data.object
    gone = event.created if type_ == "customer.deleted" else None
    return Word(customer_id=of.id, hint=hint_of(of.metadata), gone_at=gone)


_Understand = tuple[type[_Event], Callable[[Any, str], Word]]
_SUBSCRIPTION: Final[_Understand] = (_SubscriptionEvent, _subscription)
_SESSION: Final[_Understand] = (_SessionEvent, _session)
_INVOICE: Final[_Understand] = (_InvoiceEvent, _invoice)
_CUSTOMER: Final[_Understand] = (_CustomerEvent, _customer)

_TYPES: Final = MappingProxyType(
    {
        "customer.subscription.created": _SUBSCRIPTION,
        "customer.subscription.updated": _SUBSCRIPTION,
        "customer.subscription.deleted": _SUBSCRIPTION,
        "customer.subscription.paused": _SUBSCRIPTION,
        "customer.subscription.resumed": _SUBSCRIPTION,
        "checkout.session.completed": _SESSION,
        "checkout.session.async_payment_succeeded": _SESSION,
        "checkout.session.async_payment_failed": _SESSION,
        "invoice.paid": _INVOICE,
        "invoice.payment_failed": _INVOICE,
        "customer.created": _CUSTOMER,
        "customer.updated": _CUSTOMER,
        "customer.deleted": _CUSTOMER,
    }
)


def _mode(document: Document) -> Mode:
    value = document.value
    live = value.get("livemode") if isinstance(value, dict) else None
    return "test" if live is False else "live"


def _parse(document: Document, verified: Verified, reading: Reading) -> Parsed:  # noqa: ARG001
    event_id, mode = event_id_at(document, "id"), _mode(document)
    type_ = type_at(document, "type", event_id=event_id)
    if isinstance(type_, Malformed):
        return type_
    if isinstance(document.value, dict) and document.value.get("object") == THIN:
        return parse_thin(document, type_, event_id=event_id, mode=mode)
    if type_ not in _TYPES:
        return Ignored(type_, NOT_OURS)
    model, say = _TYPES[type_]

    def understand(event: _Event) -> Parsed:
        word = say(event, type_)
        if isinstance(event, _CustomerEvent) and word.hint is None and word.gone_at is None:
            return Ignored(type_, "it names no tenant")
        unknown = None
        if isinstance(event, _SubscriptionEvent):
            of = event.data.object
            if mode == reading.mode and of.livemode not in {None, event.livemode}:
                return Malformed("livemode: the event and its object differ", event.id)
            unknown = of.status if word.fact is None else None
        return BillingEvent(
            provider="stripe",
            mode=mode,
            event_id=event.id,
            type=type_,
            words=(word,),
            unknown=unknown,
        )

    return read_as(model, document, understand, event_id=event_id, mode=mode)


STRIPE = BillingProvider("stripe", StampedHeader("stripe-signature"), _parse)
