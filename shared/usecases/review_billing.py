"""What billing leaves to time: graces that run out, words that wait for their tenant, lost wishes.

Called by the sweep. Everything here may be done again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from shared.aws.items import Change
from shared.aws.subscriptions import subscription_writes
from shared.domain.billing_events import Word
from shared.domain.subscription import Subscription
from shared.errors import Conflict
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control
from shared.usecases.keep_books import KeepBooks, Said
from shared.usecases.rights import rights_of, settled

__all__ = ["BillingReport", "ReviewBilling", "list_parked"]

AT_ONCE: Final = 500
PATIENCE: Final = timedelta(hours=24)
OVERDUE: Final = timedelta(minutes=5)


@dataclass
class BillingReport:
    """Count what a review did."""

    reviewed: int = 0
    adopted: int = 0
    alerted: int = 0
    refetched: int = 0


def list_parked(control: Control) -> list[Subscription]:
    """Return the subscriptions that wait for their tenant, the oldest first."""
    return list(control.subscriptions.parked())


@dataclass(frozen=True)
class ReviewBilling:
    """Review what billing said some time ago."""

    control: Control

    def __call__(self, trace: str) -> BillingReport:
        """Suspend whose grace is over, link what can be linked by now, send lost messages again.

        Raises:
            Transient: the table or the queue does not answer.
        """
        now = self.control.now()
        return BillingReport(
            reviewed=self._past_due(now, trace),
            adopted=self._each(self._adopt, trace),
            alerted=self._each(lambda one, _trace: self._tell(one, now), trace),
            refetched=self._wanted(now, trace),
        )

    def _past_due(self, now: datetime, trace: str) -> int:
        """Let tenants be what they should be, now that the grace of a late payment is over."""
        late = self.control.subscriptions.past_due(now - self.control.settings.past_due_grace)
        count = 0
        for one in islice(late, AT_ONCE):
            if one.tenant_id is not None and not self._settle(one.tenant_id, trace):
                continue
            over = one.model_copy(update={"grace_over": True})
            try:
                self.control.state.commit(also=subscription_writes(one, over))
            except Conflict:
                continue
            count += 1
        return count

    def _settle(self, tenant_id: str, trace: str) -> bool:
        """Let one tenant be what it should be; False if somebody else was at it."""
        control = self.control
        before = control.state.tenant(tenant_id)
        if before is None:
            return True
        rights = rights_of(control, tenant_id)
        after = settled(control, before, rights)
        if after is not before:
            line = control.line(after.status, why=after.reason or "billing", trace=trace)
            try:
                control.state.commit(Change(before, after, line))
            except Conflict:
                return False
        if not after.settled:
            control.enqueue("tenant", tenant_id, trace=trace)
        return True

    def _each(self, do: Callable[[Subscription, str], bool], trace: str) -> int:
        """Do something to each parked subscription; return for how many it did something."""
        parked = list(islice(self.control.subscriptions.parked(), AT_ONCE))
        return sum(do(one, trace) for one in parked)

    def _adopt(self, one: Subscription, trace: str) -> bool:
        """Enter an empty word of what may have found its tenant or customer meanwhile."""
        control, store = self.control, self.control.subscriptions
        if one.tenant_id is not None:
            tenant = control.state.tenant(one.tenant_id)
            found = tenant is not None and tenant.status != "closed"
        elif one.customer is not None:
            found = store.customer(one.customer).tenant_id is not None
        else:
            found = False
        if not found:
            return False
        return self._enter(one, trace)

    def _enter(self, one: Subscription, trace: str) -> bool:
        word = Word(subscription_id=one.subscription_id, customer_id=one.customer_id)
        said = Said(one.provider, one.mode, word, why="parked until now", trace=trace)
        try:
            entered = KeepBooks(self.control).enter(said)
        except Conflict:
            return False
        tenant = entered.tenant
        if tenant is not None and not tenant.settled:
            self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
        return not entered.parked

    def _tell(self, one: Subscription, now: datetime) -> bool:
        """Tell a person once of what has waited for its tenant for a day."""
        if one.told or now - one.first_seen_at < PATIENCE:
            return False
        whose = f"of {one.tenant_id}, who is not there" if one.tenant_id else "of nobody known"
        alert = alert_put(
            now,
            kind="billing_parked",
            severity="warning",
            subject=f"{one.provider}/{one.mode}/{one.subscription_id}",
            summary=f"{one.provider}'s subscription {one.subscription_id} {whose} waits for its "
            "tenant: see `d1fleet parked`",
        )
        told = one.model_copy(update={"told": True})
        try:
            self.control.state.commit(also=[*subscription_writes(one, told), alert])
        except Conflict:
            return False
        return True

    def _wanted(self, now: datetime, trace: str) -> int:
        """Send the messages again that ask for a subscription and were lost."""
        found = [
            pointer.ref.message_id
            for pointer in self.control.subscriptions.wanted(now - OVERDUE, limit=AT_ONCE)
        ]
        self.control.enqueue("subscription", *found, trace=trace)
        return len(found)
