"""Subscriptions, customers and their links in the state table.

::

    SUB#<provider>#<mode>#<id>      META    where the subscription is kept
    CUSTOMER#<provider>#<mode>#<id> META    for which tenant the customer pays
    TENANT#<tenant id>              SUB     the book: who pays; its version guards all below
    TENANT#<tenant id>              SUB#…   a subscription of the tenant
    CUSTOMER#…, SUB#…               SUB#…   one whose tenant is not known yet

Index `by_status`: `parked` (due: first seen) is what waits for its tenant, `past_due` (due: since
when) what may be suspended one day, `refetch` (due: next attempt) what is to be fetched.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from shared.aws.table import Condition, Delete, Item, Put, Table, Write
from shared.domain.ledger import Book, Customer, Pointer
from shared.domain.lifecycle import iso
from shared.domain.subscription import Ref, Standing, Subscription
from shared.errors import Conflict

__all__ = ["Subscriptions", "subscription_writes", "write_of"]

_FACTS: Final = "SUB#"


class Subscriptions:
    """Read what is written down of subscriptions. Everything raises `Transient` as the table does.

    Rows that are not there are returned at version 0, so that they can be written.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def pointer(self, ref: Ref) -> Pointer:
        """Return where a subscription is kept, read consistently."""
        item = self._table.get(f"SUB#{ref.key}")
        if item is not None:
            return Pointer.model_validate(item)
        return Pointer(provider=ref.provider, mode=ref.mode, subscription_id=ref.id)

    def customer(self, ref: Ref) -> Customer:
        """Return a customer, read consistently."""
        item = self._table.get(f"CUSTOMER#{ref.key}")
        if item is not None:
            return Customer.model_validate(item)
        return Customer(provider=ref.provider, mode=ref.mode, customer_id=ref.id)

    def book(self, tenant_id: str) -> Book:
        """Return all that was said of a tenant, read consistently in one query.

        The book's own row sorts first, so whatever changed while this was read makes a write on
        its version fail.
        """
        items = list(self._table.query(f"TENANT#{tenant_id}", prefix="SUB"))
        rows = [item for item in items if item["sk"] == "SUB"]
        head: dict[str, Any] = rows[0] if rows else {}
        return Book(
            version=int(head.get("version", 0)),
            tenant_id=tenant_id,
            customers=tuple(head.get("customers", ())),
            subscriptions=tuple(_subscription(item) for item in items if item["sk"] != "SUB"),
        )

    def kept_at(self, pointer: Pointer) -> Subscription | None:
        """Return a subscription from where it is kept, read consistently."""
        item = self._table.get(_home(pointer), f"{_FACTS}{pointer.ref.key}")
        return None if item is None else _subscription(item)

    def waiting(self, customer: Ref, limit: int) -> list[Subscription]:
        """Return subscriptions of a customer whose tenant is not known yet."""
        items = self._table.query(f"CUSTOMER#{customer.key}", prefix=_FACTS, limit=limit)
        return [_subscription(item) for item in items]

    def parked(self, *, limit: int | None = None) -> Iterator[Subscription]:
        """Yield subscriptions that wait for their tenant, the oldest first. It is a hint."""
        for item in self._by_status("parked", None, limit):
            yield _subscription(item)

    def past_due(self, before: datetime, *, limit: int | None = None) -> Iterator[Subscription]:
        """Yield linked subscriptions that are past due since before a moment. It is a hint."""
        for item in self._by_status("past_due", before, limit):
            yield _subscription(item)

    def wanted(self, before: datetime, *, limit: int | None = None) -> Iterator[Pointer]:
        """Yield subscriptions whose fetching is overdue since before a moment. It is a hint."""
        for item in self._by_status("refetch", before, limit):
            yield Pointer.model_validate(item)

    def postpone(self, pointer: Pointer, **changes: Any) -> Pointer | None:
        """Write down that fetching waits; None if something else happened to the row meanwhile."""
        after = pointer.model_copy(update=changes)
        try:
            self._table.write(write_of(pointer, after))
        except Conflict:
            return None
        return after.model_copy(update={"version": after.version + 1})

    def _by_status(self, key: str, before: datetime | None, limit: int | None) -> Iterator[Item]:
        sort = None if before is None else ("due", "<", iso(before))
        yield from self._table.query_index("by_status", ("status_key", key), sort=sort, limit=limit)


def write_of(before: Pointer | Customer | Book, after: Pointer | Customer | Book) -> Put:
    """Return the write of a row's next version, on the condition that it is as it was read."""
    pk, sk = _key(after)
    exclude = {"subscriptions", "tenant_id"} if isinstance(after, Book) else None
    data = after.model_dump(exclude_none=True, exclude=exclude) | {"version": before.version + 1}
    if isinstance(after, Pointer) and after.wanted_at is not None and after.due is not None:
        data |= {"status_key": "refetch", "due": iso(after.due)}
    return Put({"pk": pk, "sk": sk, **data}, _as_read(_what(after), before.version))


def subscription_writes(before: Subscription | None, after: Subscription) -> list[Write]:
    """Return the writes of a subscription's next version; it moves when its link changed."""
    sk = f"{_FACTS}{after.ref.key}"
    moves = before is not None and _home(before) != _home(after)
    read = 0 if before is None else before.version
    data = after.model_dump(exclude_none=True) | {"version": read + 1}
    newest = after.newest
    if after.parked:
        data |= {"status_key": "parked", "due": iso(after.first_seen_at)}
    elif newest is not None and newest.standing is Standing.PAST_DUE and not after.grace_over:
        data |= {"status_key": "past_due", "due": iso(after.past_due_since or newest.at)}
    condition = _as_read("subscription", 0 if moves else read)
    writes: list[Write] = [Put({"pk": _home(after), "sk": sk, **data}, condition)]
    if before is not None and moves:
        writes.append(Delete({"pk": _home(before), "sk": sk}, _as_read("subscription", read)))
    return writes


def _subscription(item: Item) -> Subscription:
    return Subscription.model_validate(item)


def _home(of: Subscription | Pointer) -> str:
    if of.tenant_id is not None:
        return f"TENANT#{of.tenant_id}"
    if of.customer_id is not None:
        return f"CUSTOMER#{Ref(of.provider, of.mode, of.customer_id).key}"
    return f"SUB#{of.ref.key}"


def _key(row: Pointer | Customer | Book) -> tuple[str, str]:
    match row:
        case Pointer():
            return f"SUB#{row.ref.key}", "META"
        case Customer():
            return f"CUSTOMER#{row.ref.key}", "META"
        case Book():
            return f"TENANT#{row.tenant_id}", "SUB"


def _what(row: Pointer | Customer | Book) -> str:
    return type(row).__name__.lower()


def _as_read(what: str, version: int) -> Condition:
    if version == 0:
        return Condition(f"{what} is new", "attribute_not_exists(pk)")
    return Condition(
        f"{what} is as it was read", "#version = :read", {"#version": "version"}, {":read": version}
    )
