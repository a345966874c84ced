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
from typing import Any, Final

from moto.core.utils import unix_time_millis
from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table
from moto.sqs.models import Message, Queue, SQSBackend, sqs_backends

from local.aws import answers

__all__ = ["DYNAMODB", "SQS", "install"]

DYNAMODB: Final = threading.RLock()
"""Held for each call of DynamoDB: moto's tables are not safe to use from several threads."""

SQS: Final = threading.Condition(threading.RLock())
"""Held for each call of SQS, and notified after each: a long poll waits here, letting others in."""

GLANCE: Final = 0.1
"""Seconds after which a long poll looks again by itself: delays and timeouts end without a call."""


class SharedTable(Table):
    """A table that is its own copy, and whose queries look only at what they ask for.

    The first is for the transaction below, which keeps what it touches and nothing else. The second
    is because moto compares every item of the table, at some microseconds each.
    """

    _candidates: list[Item] | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedTable":
        return self

    def query(self, *args: Any, **kwargs: Any) -> tuple[list[Item], int, dict[str, Any] | None]:
        """Return what moto returns, having shown it only items that can be meant."""
        asked = _QUERY.bind(self, *args, **kwargs).arguments
        if asked.get("index_name") is None:
            found = self.items.get(asked["hash_key"], {})
            self._candidates = _items(self, found)
        else:
            # An item without the index's keys is not in the index.
            wanted = [(name, value.value) for name, value in asked["hash_key_conditions"]]
            self._candidates = [
                item
                for found in self.items.values()
                for item in _items(self, found)
                if all(name in item.attrs and item.attrs[name].value == v for name, v in wanted)
            ]
        try:
            return super().query(*args, **kwargs)
        finally:
            self._candidates = None

    def all_items(self) -> list[Item]:
        """Return all items, or during a query those that can be meant."""
        return super().all_items() if self._candidates is None else self._candidates


def _items(table: Table, found: Any) -> list[Item]:
    """Return the items below a partition key: one itself, if the table has no sort key."""
    return list(found.values()) if table.range_key_attr else [found]


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
    dynamodb_backends.backend = LeanDynamoDB
    sqs_backends.backend = PatientSQS
    answers.install()
