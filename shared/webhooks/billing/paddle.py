"""Paddle Billing: `Paddle-Signature: ts=<seconds>;h1=<hex>` over `<ts>:<body>`.

Source: developer.paddle.com/webhooks and the Python SDK. Its `custom_data` is written by whoever
opened the checkout: the SaaS's server, or the payer's browser. A subscription does not tell which;
the transaction that made it does (`origin`). So a name in `custom_data` counts as the payer's own
until a transaction of `origin: api` repeats it, or the deployment says that its server alone opens
checkouts (`PADDLE_CUSTOM_DATA=server`). Sandbox and live accounts have secrets of their own and
their events do not tell the mode.
"""

from datetime import datetime
from functools import partial
from typing import Annotated, Final

from pydantic import BeforeValidator

from shared.domain.billing_events import BillingEvent, Word
from shared.domain.event_fields import EventId
from shared.domain.subscription import BillingId
from shared.webhooks.billing.base import (
    COMMON_STATUSES,
    NOT_OURS,
    BillingProvider,
    Parsed,
    Reading,
    Status,
    Tagged,
    hint_of,
    read_as,
    standing_fact,
)
from shared.webhooks.documents import Document
from shared.webhooks.families import StampedHeader, Verified
from shared.webhooks.parsing import Ignored, Malformed, Moment, Wire, event_id_at, type_at

__all__ = ["PADDLE", "PaddleSubscription", "paddle_word"]

_SUBSCRIPTION: Final = frozenset(
    f"subscription.{what}"
    for what in (
        *("activated", "canceled", "created", "imported", "past_due"),
        *("paused", "resumed", "trialing", "updated"),
    )
)
_TRANSACTION: Final = frozenset({"transaction.completed", "transaction.paid"})


def _object(value: object) -> object:
    # custom_data is free: a text or a list in it names no tenant
    return value if isinstance(value, dict) else None


_CustomData = Annotated[Tagged | None, BeforeValidator(_object)]


class _Change(Wire):
    action: str
    effective_at: Moment


class PaddleSubscription(Wire):
    """Hold what is used of a subscription, as events carry it and as the API answers with it."""

    id: BillingId
    status: Status
    customer_id: BillingId
    custom_data: _CustomData = None
    scheduled_change: _Change | None = None
    started_at: Moment | None = None
    created_at: Moment | None = None

    @property
    def ends_at(self) -> datetime | None:
        """Return the scheduled end, if a cancellation is scheduled."""
        change = self.scheduled_change
        return change.effective_at if change is not None and change.action == "cancel" else None


class _Transaction(Wire):
    customer_id: BillingId | None = None
    subscription_id: BillingId | None = None
    custom_data: _CustomData = None
    origin: str = ""


class _Event(Wire):
    event_id: EventId
    occurred_at: Moment


class _SubscriptionEvent(_Event):
    data: PaddleSubscription


class _TransactionEvent(_Event):
    data: _Transaction


def paddle_word(of: PaddleSubscription, *, at: datetime, ours: bool) -> Word:
    """Return what a subscription says at a moment; without a fact if its status is not known.

    `ours` says that nobody but the SaaS's server writes `custom_data`.
    """
    fact = standing_fact(
        of.status,
        COMMON_STATUSES,
        at=at,
        ends_at=of.ends_at,
        began_at=of.started_at or of.created_at,
    )
    hint = hint_of(of.custom_data, vouched=ours)
    return Word(subscription_id=of.id, customer_id=of.customer_id, hint=hint, fact=fact)


def _transaction_word(of: _Transaction, *, ours: bool) -> Word:
    hint = hint_of(of.custom_data, vouched=ours or of.origin == "api")
    return Word(subscription_id=of.subscription_id, customer_id=of.customer_id, hint=hint)


def _parse(document: Document, verified: Verified, reading: Reading) -> Parsed:  # noqa: ARG001
    event_id = event_id_at(document, "event_id")
    type_ = type_at(document, "event_type", event_id=event_id)
    if isinstance(type_, Malformed):
        return type_

    def event(of: _Event, word: Word, unknown: str | None = None) -> BillingEvent:
        return BillingEvent(
            provider="paddle",
            mode=reading.mode,
            event_id=of.event_id,
            type=type_,
            words=(word,),
            unknown=unknown,
        )

    def subscription(of: _SubscriptionEvent) -> BillingEvent:
        word = paddle_word(of.data, at=of.occurred_at, ours=reading.ours)
        return event(of, word, of.data.status if word.fact is None else None)

    def transaction(of: _TransactionEvent) -> BillingEvent:
        return event(of, _transaction_word(of.data, ours=reading.ours))

    read = partial(read_as, document=document, event_id=event_id, mode=reading.mode)
    if type_ in _SUBSCRIPTION:
        return read(_SubscriptionEvent, understand=subscription)
    if type_ in _TRANSACTION:
        return read(_TransactionEvent, understand=transaction)
    return Ignored(type_, NOT_OURS)


_FAMILY = StampedHeader(
    "paddle-signature", time_key="ts", signature_key="h1", separator=";", joiner=":"
)
PADDLE = BillingProvider("paddle", _FAMILY, _parse)
