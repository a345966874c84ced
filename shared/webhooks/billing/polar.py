"""Polar: Standard Webhooks, keyed with the secret's text as it is written.

Source: docs.polar.sh/integrate/webhooks and github.com/polarsource/polar. A cancellation is
announced by `subscription.canceled` (still active, `cancel_at_period_end`); access ends with
`subscription.revoked`. `metadata` and a customer's `external_id` are written by the SaaS's server;
the latter never changes. The sandbox is a server of its own, and its events do not tell the mode.
"""

from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Final

from shared.domain.billing_events import BillingEvent, Word
from shared.domain.links import Hint
from shared.domain.names import TENANT_ID
from shared.domain.subscription import BillingId, Standing
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
from shared.webhooks.families import StandardWebhooks, Verified
from shared.webhooks.parsing import Ignored, Malformed, Moment, Wire, type_at

__all__ = ["POLAR", "PolarSubscription", "polar_word"]

_STATUSES: Final = MappingProxyType(
    {
        **COMMON_STATUSES,
        "unpaid": (Standing.SUSPENDED, False),
        "incomplete": (Standing.PENDING, False),
        "incomplete_expired": (Standing.PENDING, True),
    }
)
_SUBSCRIPTION: Final = frozenset(
    f"subscription.{what}"
    for what in (
        *("active", "canceled", "created", "past_due", "paused"),
        *("resumed", "revoked", "uncanceled", "updated"),
    )
)


class _Customer(Wire):
    external_id: str | None = None


class _Listed(Wire):
    """Hold what is used of a subscription in the state of its customer."""

    id: BillingId
    status: Status = "active"
    metadata: Tagged | None = None
    cancel_at_period_end: bool = False
    current_period_end: Moment | None = None
    ends_at: Moment | None = None
    started_at: Moment | None = None
    created_at: Moment | None = None
    modified_at: Moment | None = None

    @property
    def end(self) -> datetime | None:
        """Return the scheduled end, if there is one."""
        if self.ends_at is not None or not self.cancel_at_period_end:
            return self.ends_at
        return self.current_period_end


class PolarSubscription(_Listed):
    """Hold what is used of a subscription, as events carry it and as the API answers with it."""

    status: Status
    customer_id: BillingId
    customer: _Customer = _Customer()


class _State(Wire):
    id: BillingId
    external_id: str | None = None
    active_subscriptions: tuple[_Listed, ...] = ()


class _Event(Wire):
    timestamp: Moment


class _SubscriptionEvent(_Event):
    data: PolarSubscription


class _StateEvent(_Event):
    data: _State


def polar_word(of: PolarSubscription, *, at: datetime, revoked: bool = False) -> Word:
    """Return what a subscription says at a moment; without a fact if its status is not known."""
    status = "canceled" if revoked else of.status
    return _word(of, status, of.customer_id, of.customer.external_id, at)


def _word(
    of: _Listed, status: str, customer_id: str, external_id: str | None, at: datetime
) -> Word:
    fact = standing_fact(
        status,
        _STATUSES,
        at=at,
        ends_at=of.end,
        began_at=of.started_at or of.created_at,
    )
    hint = hint_of(of.metadata) or _external(external_id)
    return Word(subscription_id=of.id, customer_id=customer_id, hint=hint, fact=fact)


def _external(external_id: str | None) -> Hint | None:
    # It need not be a tenant's: some give their users' ids there.
    if external_id is None or TENANT_ID.fullmatch(external_id) is None:
        return None
    return Hint(tenant_id=external_id, vouched=True)


def _of_state(event: _StateEvent) -> tuple[Word, ...]:
    """Return what a customer's state says: its link, and which subscriptions entitle.

    What is not listed does not: but whether it waits for a payment or has ended, only its own
    events tell.
    """
    state = event.data
    link = Word(customer_id=state.id, hint=_external(state.external_id))
    return (
        link,
        *(
            _word(of, of.status, state.id, state.external_id, of.modified_at or event.timestamp)
            for of in state.active_subscriptions
        ),
    )


def _parse(document: Document, verified: Verified, reading: Reading) -> Parsed:
    type_ = type_at(document, "type", event_id=verified.message_id)
    if isinstance(type_, Malformed):
        return type_

    def event(words: tuple[Word, ...], unknown: str | None = None) -> BillingEvent:
        return BillingEvent(
            provider="polar",
            mode=reading.mode,
            event_id=verified.message_id or "",
            type=type_,
            words=words,
            unknown=unknown,
        )

    def subscription(of: _SubscriptionEvent) -> BillingEvent:
        at = of.data.modified_at or of.timestamp
        word = polar_word(of.data, at=at, revoked=type_ == "subscription.revoked")
        return event((word,), of.data.status if word.fact is None else None)

    read = partial(read_as, document=document, event_id=verified.message_id, mode=reading.mode)
    if type_ in _SUBSCRIPTION:
        return read(_SubscriptionEvent, understand=subscription)
    if type_ == "customer.state_changed":
        return read(_StateEvent, understand=lambda of: event(_of_state(of)))
    if type_ == "customer.deleted":
        return read(_StateEvent, understand=lambda of: event((_gone(of),)))
    return Ignored(type_, NOT_OURS)


def _gone(event: _StateEvent) -> Word:
    hint = _external(event.data.external_id)
    return Word(customer_id=event.data.id, hint=hint, gone_at=event.timestamp)


POLAR = BillingProvider("polar", StandardWebhooks(encoding="utf8"), _parse)
