"""Stripe's subscription object, as events carry it and as the API answers with it.

Source: docs.stripe.com/api/subscriptions. `canceled` and `incomplete_expired` are final. The latter
never began: to have tried and not paid is no reason to close a tenant that was served before.
"""

from datetime import datetime
from types import MappingProxyType
from typing import Final

from shared.domain.billing_events import Word
from shared.domain.subscription import BillingId, Standing
from shared.webhooks.billing.base import (
    COMMON_STATUSES,
    IdOrObject,
    Status,
    Tagged,
    hint_of,
    standing_fact,
)
from shared.webhooks.parsing import Moment, Wire

__all__ = ["STATUSES", "StripeSubscription", "stripe_word"]

STATUSES: Final = MappingProxyType(
    {
        **COMMON_STATUSES,
        "unpaid": (Standing.SUSPENDED, False),
        "incomplete": (Standing.PENDING, False),
        "incomplete_expired": (Standing.PENDING, True),
    }
)


class _Item(Wire):
    current_period_end: Moment | None = None


class _Items(Wire):
    data: tuple[_Item, ...] = ()


class StripeSubscription(Wire):
    """Hold what is used of a subscription.

    Two traps: a cancellation is scheduled by `cancel_at_period_end` or, with flexible billing, by
    `cancel_at`; and `pause_collection` is no pause, so it is not even read.
    """

    id: BillingId
    status: Status
    customer: IdOrObject
    metadata: Tagged | None = None
    created: Moment | None = None
    cancel_at: Moment | None = None
    cancel_at_period_end: bool = False
    current_period_end: Moment | None = None
    items: _Items = _Items()
    livemode: bool | None = None

    @property
    def ends_at(self) -> datetime | None:
        """Return the scheduled end; since API version 2025-03-31 the items have the period."""
        if self.cancel_at is not None or not self.cancel_at_period_end:
            return self.cancel_at
        ends = [item.current_period_end for item in self.items.data]
        known = [end for end in (*ends, self.current_period_end) if end is not None]
        return max(known, default=None)


def stripe_word(of: StripeSubscription, *, at: datetime, deleted: bool = False) -> Word:
    """Return what a subscription says at a moment; without a fact if its status is not known."""
    fact = standing_fact(
        "canceled" if deleted else of.status,
        STATUSES,
        at=at,
        ends_at=of.ends_at,
        began_at=of.created,
    )
    return Word(
        subscription_id=of.id, customer_id=of.customer, hint=hint_of(of.metadata), fact=fact
    )
