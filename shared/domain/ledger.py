"""What is written down of subscriptions and customers, and what one more word changes in it.

A subscription is found by its name (`Pointer`), its facts are kept with its tenant (`Book`), or
with its customer while no tenant is known. The decision here is pure: the use case gathers, asks,
and applies the answer in one transaction on everything that was read.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from shared.domain.billing_events import Word
from shared.domain.event_fields import Mode
from shared.domain.lifecycle import Instant
from shared.domain.links import Link
from shared.domain.subscription import Fact, Ref, Standing, Subscription

__all__ = ["AT_ONCE", "Book", "Customer", "Entry", "Gathered", "Pointer", "enter"]

AT_ONCE: Final = 20
"""Subscriptions that move to a tenant in one transaction; the sweep moves the rest."""


class _Row(BaseModel):
    """`version` is the condition of the next write; 0 means that the row is not there yet."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int = 0


class Pointer(_Row):
    """Say where a subscription is kept: with its tenant, else with its customer, else alone.

    `wanted_at` is set while the subscription is to be fetched from the provider's API: when that
    was last asked for. `due`, `failures` and `token` belong to the one live chain of messages that
    tries; `refused` is why the provider will not answer until a person acts.
    """

    provider: str
    mode: Mode
    subscription_id: str
    tenant_id: str | None = None
    customer_id: str | None = None
    wanted_at: Instant | None = None
    due: Instant | None = None
    failures: int = 0
    token: str | None = None
    refused: str | None = None

    @property
    def ref(self) -> Ref:
        """Return the subscription's name."""
        return Ref(self.provider, self.mode, self.subscription_id)


class Customer(_Row):
    """Say for which tenant a customer of a provider pays; `vouched` as in `Hint`.

    `gone_at` is when it was deleted at the provider, and all its subscriptions with it.
    """

    provider: str
    mode: Mode
    customer_id: str
    tenant_id: str | None = None
    vouched: bool = False
    gone_at: Instant | None = None

    @property
    def ref(self) -> Ref:
        """Return the customer's name."""
        return Ref(self.provider, self.mode, self.customer_id)


class Book(_Row):
    """Hold all that billing said of one tenant, whether the tenant exists or not.

    `customers` are the keys of those who pay for it. Every change of what is in it writes a new
    version, so that two who read the same book can't both write.
    """

    tenant_id: str
    customers: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    def rivals(self, of: Ref | None, provider: str, mode: Mode) -> bool:
        """Say whether another customer of the same provider and mode pays for this tenant."""
        start = Ref(provider, mode, "").key
        mine = None if of is None else of.key
        return any(key.startswith(start) and key != mine for key in self.customers)


@dataclass(frozen=True)
class Gathered:
    """Hold what was read before a word is entered.

    `current` is the subscription as it is kept now, wherever; `waiting` are those that are kept
    with the customer until its tenant is known. `book` is the linked tenant's. `episode` is the
    life of the tenant that the word belongs to.
    """

    word: Word
    link: Link
    now: datetime
    episode: int = 1
    pointer: Pointer | None = None
    current: Subscription | None = None
    customer: Customer | None = None
    book: Book | None = None
    waiting: tuple[Subscription, ...] = ()
    wanted: bool = False


@dataclass(frozen=True)
class Entry:
    """Say what shall be written down after a word.

    `subscriptions` are pairs, as it was read (None: it is new) and as it shall be: all of the
    tenant's, changed or not; without a tenant the one that the word is about.
    """

    pointer: Pointer | None
    customer: Customer | None
    book: Book | None
    subscriptions: tuple[tuple[Subscription | None, Subscription], ...]


def enter(found: Gathered) -> Entry:
    """Return what a word changes in what is written down."""
    customer = _customer(found)
    tenant_id = found.link.tenant_id
    known: dict[Ref, Subscription | None] = {}
    if found.book is not None:
        known |= {each.ref: each for each in found.book.subscriptions}
        known |= {each.ref: each for each in found.waiting}
    spoken = None if found.pointer is None else found.pointer.ref
    if spoken is not None:
        known[spoken] = found.current
    pairs: list[tuple[Subscription | None, Subscription]] = []
    for ref, before in known.items():
        base = before or _new(found, ref)
        this = ref == spoken
        one = _told(found, base) if this else base
        if customer is not None:
            one = _with_customer(one, customer, found, joins=this)
        pairs.append((before, one.model_copy(update={"tenant_id": tenant_id})))
    book = _book(found, customer, [after for _, after in pairs])
    return Entry(_pointer(found), customer, book, tuple(pairs))


def _new(found: Gathered, ref: Ref) -> Subscription:
    return Subscription(
        provider=ref.provider,
        mode=ref.mode,
        subscription_id=ref.id,
        episode=found.episode,
        first_seen_at=found.now,
    )


def _told(found: Gathered, base: Subscription) -> Subscription:
    """Return the subscription that a word is about, after it."""
    facts: Iterable[Fact] = () if found.word.fact is None else (found.word.fact,)
    after = base.heard(*facts, episode=found.episode)
    return after.model_copy(update={"vouched": base.vouched or found.link.vouched})


def _with_customer(
    one: Subscription, customer: Customer, found: Gathered, *, joins: bool
) -> Subscription:
    """Return a subscription with what is known of its customer; `joins` says that it is this one.

    A subscription keeps the customer that it was first seen with.
    """
    if joins and one.customer_id is None:
        one = one.model_copy(update={"customer_id": customer.customer_id})
    if one.customer != customer.ref:
        return one
    if customer.gone_at is not None:
        gone = Fact(standing=Standing.ENDED, at=customer.gone_at, final=True, said="customer gone")
        one = one.heard(gone, episode=found.episode)
    if customer.vouched and customer.tenant_id == found.link.tenant_id:
        one = one.model_copy(update={"vouched": True})
    return one


def _customer(found: Gathered) -> Customer | None:
    """Return the customer, linked to the first tenant that it was seen to pay for."""
    customer, word, link = found.customer, found.word, found.link
    if customer is None:
        return None
    gone = [at for at in (customer.gone_at, word.gone_at) if at is not None]
    tenant_id = customer.tenant_id or link.tenant_id
    vouches = link.vouched and link.tenant_id is not None and link.tenant_id == tenant_id
    return customer.model_copy(
        update={
            "tenant_id": tenant_id,
            "vouched": customer.vouched or vouches,
            "gone_at": min(gone, default=None),
        }
    )


def _pointer(found: Gathered) -> Pointer | None:
    pointer = found.pointer
    if pointer is None:
        return None
    customer = None if found.customer is None else found.customer.customer_id
    changes: dict[str, object] = {
        "tenant_id": found.link.tenant_id,
        "customer_id": pointer.customer_id or customer,
    }
    if found.wanted:
        changes |= {"wanted_at": found.now, "due": found.now}
    return pointer.model_copy(update=changes)


def _book(found: Gathered, customer: Customer | None, after: list[Subscription]) -> Book | None:
    if found.book is None:
        return None
    keys = set(found.book.customers)
    if customer is not None and customer.tenant_id == found.book.tenant_id:
        keys.add(customer.ref.key)
    return found.book.model_copy(
        update={"customers": tuple(sorted(keys)), "subscriptions": tuple(after)}
    )
