"""What moto does slowly or wrongly when many processes use it at once, put right in subclasses.

- Its transactions copy whole tables before they begin (0.2 s at 5,000 items) and put the whole copy
  back when they are cancelled, which also undoes other callers' writes.
- Its queries compare each item of the table (30 ms at 5,000), its queues ask the clock three times
  for each message (100 ms to receive one of 1,000).
- Its long polling holds up everybody else as soon as calls are made one at a time, which they must
  be.

Measured with moto 5.2.5. `install()` is called once, in the server's process, before any request.
"""

import copy
import inspect
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from moto.core.utils import unix_time_millis
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from local.aws import answers

__all__ = ["DYNAMODB", "SQS", "install", "install_dynamodb"]

DYNAMODB: Final = threading.RLock()
"""Held for each call of DynamoDB: moto's tables are not safe to use from several threads."""

SQS: Final = threading.Condition(threading.RLock())
"""Held for each call of SQS, and notified after each: a long poll waits here, letting others in."""

GLANCE: Final = 0.1
"""Seconds after which a long poll looks again by itself: delays and timeouts end without a call."""


class Row(Item):
    """An item as a query sees it: not copied for an answer that is written at once, sized once."""

    @classmethod
    def of(cls, item: Item) -> "Row":
        """Return a view of an item."""
        row: Row = object.__new__(cls)
        row.__dict__.update(item.__dict__)
        return row

    def __deepcopy__(self, memo: dict[int, Any]) -> "Row":
        return self

    def size(self) -> int:
        """Return the size in bytes; moto asks for it twice."""
        if "_size" not in self.__dict__:
            self._size = super().size()
        return self._size


class SharedTable(Table):
    """A table that is its own copy, and whose queries look only at what they ask for.

    The first is for the transaction below, which keeps what it touches and nothing else. The second
    is because moto compares, sorts and copies every item of the table, at many microseconds each.
    """

    _candidates: list[Item] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedTable":
        return self

    def query(self, *args: Any, **kwargs: Any) -> tuple[list[Item], int, dict[str, Any] | None]:
        """Return what moto returns, having shown it only items that can be meant, in order."""
        asked = _QUERY.bind(self, *args, **kwargs).arguments
        index = asked.get("index_name")
        if index is None:
            found = list(_items(self, self.items.get(asked["hash_key"], {})))
            order = [self.range_key_attr] if self.range_key_attr else []
        else:
            # An item without the index's keys is not in the index.
            (hash_key, wanted), *_ = asked["hash_key_conditions"]
            keys = [key["AttributeName"] for key in self.get_index(index).schema]
            found = [
                item
                for below in self.items.values()
                for item in _items(self, below)
                if (value := item.attrs.get(hash_key)) is not None
                and value.value == wanted.value
                and all(name in item.attrs for name in keys)
            ]
            order = [*keys[1:], *self.table_key_attrs]
        self._candidates = [Row.of(item) for item in _page(found, order, asked)]
        try:
            return super().query(*args, **kwargs)
        finally:
            self._candidates = None

    def all_items(self) -> list[Item]:
        """Return all items, or during a query those that can be meant."""
        return super().all_items() if self._candidates is None else self._candidates

    def sorted_items(
        self, hash_key_attrs: list[str], range_key_attrs: list[str | None], items: list[Item]
    ) -> list[Item]:
        """Return items in the order of an index; during a query they are in it already."""
        if self._candidates is None:
            return super().sorted_items(hash_key_attrs, range_key_attrs, items)
        return items


def _page(found: list[Item], order: list[str], asked: Mapping[str, Any]) -> list[Item]:
    """Return items in their order; of a first page with a limit, no more than can be on it."""
    found.sort(key=_sort_key(order))
    limit = asked.get("limit")
    if not limit or asked.get("exclusive_start_key") is not None or asked.get("filter_kwargs"):
        return found
    comparison = asked.get("range_comparison")
    if comparison:
        values = asked["range_objs"]
        found = [item for item in found if item.attrs[order[0]].compare(comparison, values)]
    # One more than the page, by which it is known that there is another.
    return found[: limit + 1] if asked["scan_index_forward"] is not False else found[-limit - 1 :]


def _sort_key(names: Sequence[str]) -> Callable[[Item], tuple[Any, ...]]:
    """Return what DynamoDB orders by: text as it is, numbers by their value."""

    def key(item: Item) -> tuple[Any, ...]:
        values = [item.attrs[name] for name in names]
        return tuple(v.value if v.type == "S" else v.cast_value for v in values)

    return key


def _items(table: Table, found: Any) -> Collection[Item]:
    """Return the items below a partition key: one itself, if the table has no sort key."""
    if table.range_key_attr:
        items: Collection[Item] = found.values()
        return items
    return [found] if isinstance(found, Item) else []


_QUERY: Final = inspect.signature(Table.query)


class BriskQueue(Queue):
    """A queue that reads the clock once for all of its messages, not for each of them."""

    @property
    def messages(self) -> list[Message]:
        """Return the messages that can be received now."""
        now = unix_time_millis()
        return [m for m in self._messages if m.visible_at < now and m.delayed_until <= now]

    @property
    def approximate_number_of_messages_delayed(self) -> int:
        """Return how many are not due yet."""
        now = unix_time_millis()
        return sum(1 for m in self._messages if m.delayed_until > now)

    @property
    def approximate_number_of_messages_not_visible(self) -> int:
        """Return how many are being worked on."""
        now = unix_time_millis()
        return sum(1 for m in self._messages if m.visible_at >= now)


def _become(thing: Any, kind: type) -> Any:
    """Give what moto has made the methods of our subclass of its class."""
    thing.__class__ = kind
    return thing


class LeanDynamoDB(DynamoDBBackend):
    """Run a transaction at the cost of the items it names, not of the tables they are in.

    moto's own code judges and applies it. Only its idea of going back is replaced: the table's copy
    that it would put back is the table itself, and the items are put back here. Callers hold
    `DYNAMODB`, so nobody sees a transaction half done.
    """

    __module__ = DynamoDBBackend.__module__  # moto looks for a service's URLs beside this module

    def create_table(self, *args: Any, **kwargs: Any) -> Table:
        """Create a table whose transactions are cheap."""
        table: Table = _become(super().create_table(*args, **kwargs), SharedTable)
        return table

    def transact_write_items(self, transact_items: list[dict[str, Any]]) -> None:
        """Apply all writes or none."""
        before = self._touched(transact_items)
        try:
            super().transact_write_items(transact_items)
        except Exception:
            for table, hash_key, range_key, item in before:
                _put_back(table, hash_key, range_key, item)
            raise

    def _touched(
        self, transact_items: list[dict[str, Any]]
    ) -> list[tuple[Table, DynamoType, DynamoType | None, Item | None]]:
        touched = []
        for entry in transact_items:
            for body in entry.values():
                table = self.tables.get(body.get("TableName", ""))
                attributes = body.get("Key") or body.get("Item") or {}
                names = [] if table is None else table.table_key_attrs
                if table is None or not all(name in attributes for name in names):
                    continue  # a malformed write, which moto refuses before it changes anything
                hash_key, range_key = self.get_keys_value(table, attributes)
                item = table.get_item(hash_key, range_key)
                touched.append((table, hash_key, range_key, copy.deepcopy(item)))
        return touched


def _put_back(
    table: Table, hash_key: DynamoType, range_key: DynamoType | None, item: Item | None
) -> None:
    if item is None:
        table.delete_item(hash_key, range_key)
    elif range_key is None:
        table.items[hash_key] = item  # type: ignore[assignment] # moto's own shape for this case
    else:
        table.items[hash_key][range_key] = item


class PatientSQS(SQSBackend):
    """Wait for messages without keeping anybody else waiting, and without polling inside moto."""

    __module__ = SQSBackend.__module__  # as above

    def create_queue(self, *args: Any, **kwargs: Any) -> Queue:
        """Create a queue that stays quick when it is long."""
        queue: Queue = _become(super().create_queue(*args, **kwargs), BriskQueue)
        return queue

    def receive_message(
        self,
        queue_name: str,
        count: int,
        wait_seconds_timeout: int,
        visibility_timeout: int,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        """Return messages as soon as there are any, at the latest when the wait is over."""
        until = time.monotonic() + wait_seconds_timeout
        while True:
            messages: list[Message] = super().receive_message(
                queue_name, count, 0, visibility_timeout, message_attribute_names
            )
            left = until - time.monotonic()
            if messages or left <= 0:
                return messages
            SQS.wait(min(left, GLANCE))


def install() -> None:
    """Make moto use these backends; nothing of DynamoDB and SQS may exist yet."""
    install_dynamodb()
    sqs_backends.backend = PatientSQS


def install_dynamodb() -> None:
    """Make moto use the lean tables alone; nothing of DynamoDB may exist yet."""
    dynamodb_backends.backend = LeanDynamoDB
    answers.install()
