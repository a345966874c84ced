"""Enter one word of billing: its facts, its links and what follows for its tenant, at once.

All that the decision rests on is written in one transaction, each row on the version that was read,
so that two words about one tenant can't both be decided on what was before either. Called for
webhooks, for what was fetched from a provider's API, and by the sweep for what could not be linked
at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.aws.items import Change
from shared.aws.subscriptions import subscription_writes, write_of
from shared.aws.table import Write
from shared.domain.billing_events import Word
from shared.domain.event_fields import Mode
from shared.domain.ledger import AT_ONCE, Book, Customer, Entry, Gathered, Pointer, enter
from shared.domain.links import Link, find_link
from shared.domain.standing import Right
from shared.domain.subscription import Ref, Standing, Subscription
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control
from shared.usecases.rights import Rights, rights_in, settled

__all__ = ["Entered", "KeepBooks", "Said"]

Row = Pointer | Customer | Book


@dataclass(frozen=True)
class Said:
    """Hold a word, who said it, and how it came about for the history.

    `wanted` says that the subscription is to be fetched; `fetched_for` that this is what was
    fetched: as the pointer was read before.
    """

    provider: str
    mode: Mode
    word: Word
    why: str
    trace: str
    wanted: bool = False
    fetched_for: Pointer | None = None


@dataclass(frozen=True)
class Entered:
    """Say what became of a word: the tenant as it is now, and whether it waits for one."""

    tenant: Tenant | None
    parked: bool


@dataclass(frozen=True)
class _Read:
    """Hold what was read, besides what the decision is made on."""

    found: Gathered
    tenant: Tenant | None


@dataclass(frozen=True)
class KeepBooks:
    """Enter words of billing."""

    control: Control

    def enter(self, said: Said, *, also: Sequence[Write] = ()) -> Entered:
        """Write a word down with its effect and whatever goes with it, all or nothing.

        Raises:
            Conflict: something that was read changed meanwhile: nothing was written.
            Transient: the table does not answer.
        """
        read = self._gather(said)
        entry = enter(read.found)
        pointer = _fetched(entry.pointer, said)
        if pointer is not entry.pointer:
            entry = replace(entry, pointer=pointer)
        return self._apply(said, read, entry, also)

    # Gather

    def _gather(self, said: Said) -> _Read:
        store, word = self.control.subscriptions, said.word
        pointer = current = None
        if word.subscription_id is not None:
            pointer = store.pointer(Ref(said.provider, said.mode, word.subscription_id))
            current = store.kept_at(pointer) if pointer.version else None
        customer_id = word.customer_id or (pointer and pointer.customer_id)
        customer = (
            store.customer(Ref(said.provider, said.mode, customer_id)) if customer_id else None
        )
        link = self._link(said, pointer, current is not None and current.vouched, customer)
        if link.tenant_id is None:
            found = Gathered(
                word, link, self.control.now(), 1, pointer, current, customer, wanted=said.wanted
            )
            return _Read(found, None)
        # The tenant first: what is said of it while the book is read gives it a new version.
        tenant = self.control.state.tenant(link.tenant_id)
        book = store.book(link.tenant_id)
        waiting: tuple[Subscription, ...] = ()
        if customer is not None and customer.tenant_id in {None, link.tenant_id}:
            waiting = tuple(store.waiting(customer.ref, AT_ONCE))
        found = Gathered(
            word,
            link,
            self.control.now(),
            _episode(tenant, word),
            pointer,
            current,
            customer,
            book,
            waiting,
            said.wanted,
        )
        return _Read(found, tenant)

    def _link(
        self, said: Said, pointer: Pointer | None, vouched: bool, customer: Customer | None
    ) -> Link:
        hint = said.word.hint
        rivals = False
        if hint is not None and not hint.vouched:
            book = self.control.subscriptions.book(hint.tenant_id)
            rivals = book.rivals(customer.ref if customer else None, said.provider, said.mode)
        theirs = Link(customer.tenant_id, customer.vouched) if customer else Link()
        stored = Link(pointer.tenant_id, vouched) if pointer else theirs
        return find_link(stored=stored, hint=hint, customer=theirs, rivals=rivals)

    # Apply

    def _apply(self, said: Said, read: _Read, entry: Entry, also: Sequence[Write]) -> Entered:
        found, before = read.found, read.tenant
        rights = None if entry.book is None else rights_in(self.control, entry.book)
        after = before
        if before is not None and rights is not None:
            after = settled(self.control, before, rights)
        parked = after is None or _waits(after, rights)
        writes: list[Write] = [*also]
        news = False
        for old, new in entry.subscriptions:
            listed = new.model_copy(update={"parked": parked, "told": new.told and parked})
            if listed == old:
                continue
            news = True
            writes += subscription_writes(old, listed)
            if old is not None and old.tenant_id != new.tenant_id and old is not found.current:
                writes.append(self._repoint(new.ref, entry))
        if found.pointer is not None and entry.pointer is not None:
            writes += _next(found.pointer, entry.pointer)
        if found.customer is not None and entry.customer is not None:
            # What waits with a customer is moved when its tenant is known: not while it is written.
            waits = found.pointer is not None and found.link.tenant_id is None
            writes += _next(found.customer, entry.customer, always=waits)
        if found.book is not None and entry.book is not None:
            writes += _next(found.book, entry.book)
            news = news or entry.book.customers != found.book.customers
        if found.link.conflict is not None:
            writes.append(self._alert(said, found.link.conflict))
        changes = []
        if before is not None and after is not None and (news or after is not before):
            after = after if after is not before else before.noted(found.now)
            what = after.status if after.status is not before.status else "billing was heard"
            why = f"{said.why}: {after.reason}" if after.reason else said.why
            line = self.control.line(what, why=why, trace=said.trace)
            changes.append(Change(before, after, line))
        if changes or writes:
            self.control.state.commit(*changes, also=writes)
        return Entered(after, parked)

    def _repoint(self, ref: Ref, entry: Entry) -> Write:
        """Return the write that lets a subscription be found where it moved to."""
        assert entry.book is not None  # noqa: S101 - nothing else moves
        pointer = self.control.subscriptions.pointer(ref)
        return write_of(pointer, pointer.model_copy(update={"tenant_id": entry.book.tenant_id}))

    def _alert(self, said: Said, conflict: str) -> Write:
        id_ = said.word.subscription_id or said.word.customer_id
        return alert_put(
            self.control.now(),
            kind="billing_link_refused",
            severity="warning",
            subject=f"{said.provider}/{said.mode}/{id_}",
            summary=f"{said.provider}'s {id_} {conflict}",
        )


def _next(before: Row, after: Row, *, always: bool = False) -> list[Write]:
    """Return the write of a row that changed, or is new; else none, unless it guards another."""
    if after == before and before.version and not always:
        return []
    return [write_of(before, after)]


def _episode(tenant: Tenant | None, word: Word) -> int:
    """Return the life of the tenant that a word belongs to.

    What is said of a tenant that is gone belongs to the life that may come, unless it is an end.
    """
    if tenant is None:
        return 1
    ends = word.fact is not None and word.fact.standing is Standing.ENDED
    return tenant.episode + (tenant.status is TenantStatus.CLOSED and not ends)


def _waits(tenant: Tenant, rights: Rights | None) -> bool:
    """Say whether somebody pays for a tenant that is gone: that waits for a new signup."""
    if rights is None or tenant.status is not TenantStatus.CLOSED:
        return False
    return rights.of(tenant.episode + 1).right in {Right.ACTIVE, Right.GRACE}


def _fetched(pointer: Pointer | None, said: Said) -> Pointer | None:
    """Return a pointer whose wish is fulfilled, unless it was repeated meanwhile."""
    asked = said.fetched_for
    if pointer is None or asked is None or pointer.wanted_at != asked.wanted_at:
        return pointer
    done = {"wanted_at": None, "due": None, "failures": 0, "token": None, "refused": None}
    return pointer.model_copy(update=done)
