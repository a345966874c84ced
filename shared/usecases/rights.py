"""What a tenant's subscriptions entitle it to at this moment, read with what guards the answer.

Whoever decides about a tenant reads the tenant first and this second. While the tenant is there,
every word of billing writes a new version of it; where it is only about to begin, `guard` goes into
the transaction, so that no word that arrives meanwhile is missed.
"""

from dataclasses import dataclass
from datetime import datetime

from shared.aws.items import new_ulid
from shared.aws.subscriptions import subscription_writes, write_of
from shared.aws.table import Write
from shared.domain.entitlement import Policy, entitlement
from shared.domain.ledger import AT_ONCE, Book
from shared.domain.signup import Terms
from shared.domain.standing import Entitlement
from shared.domain.tenant import Tenant
from shared.usecases.context import Control

__all__ = ["Rights", "rights_in", "rights_of", "settled", "terms"]


@dataclass(frozen=True)
class Rights:
    """Hold what billing said of one tenant."""

    book: Book
    policy: Policy
    now: datetime

    def of(self, episode: int) -> Entitlement:
        """Return what the tenant is entitled to in one of its lives."""
        return entitlement(
            self.book.subscriptions, policy=self.policy, episode=episode, now=self.now
        )

    @property
    def guard(self) -> Write:
        """Return the write that fails if anything was heard since this was read.

        It is a write and no check: whoever read the same book must not write either.
        """
        return write_of(self.book, self.book)

    def adopted(self) -> list[Write]:
        """Return what goes into the transaction with which the tenant begins.

        The guard, and the writes that take its subscriptions off the list of parked ones; the sweep
        does what is more than fits.
        """
        waiting = [each for each in self.book.subscriptions if each.parked][:AT_ONCE]
        return [
            self.guard,
            *(
                write
                for each in waiting
                for write in subscription_writes(each, each.model_copy(update={"parked": False}))
            ),
        ]


def rights_of(control: Control, tenant_id: str) -> Rights:
    """Return what billing said of a tenant, whether the tenant exists or not."""
    return rights_in(control, control.subscriptions.book(tenant_id))


def rights_in(control: Control, book: Book) -> Rights:
    """Return what a book says by the settings of this deployment."""
    settings = control.settings
    policy = Policy(past_due=settings.past_due, past_due_grace=settings.past_due_grace)
    return Rights(book, policy, control.now())


def terms(control: Control, rights: Rights) -> Terms:
    """Return the terms on which the tenant's words are weighed now."""
    settings = control.settings
    return Terms(
        now=rights.now,
        grace=settings.grace_period,
        rights=rights.of,
        require_subscription=settings.require_subscription,
        closing_id=new_ulid(rights.now),
    )


def settled(control: Control, tenant: Tenant, rights: Rights) -> Tenant:
    """Return the tenant as all words together want it: the same object when nothing changes."""
    return terms(control, rights).settled(tenant)
