"""The outbox: events and alerts, written with the state they speak of, sent at least once.

A row is sent, then removed; killed in between, it is sent again with the same id. Consumers tell
repeats by `detail.id`. An alert goes through several channels: its row says which took it, so that
one that fails makes nothing come twice at the others.
"""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.table import Condition, Delete, Item, Put, Table
from shared.domain.alert import Channel
from shared.domain.lifecycle import iso
from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

__all__ = ["BUSY", "Outbox", "busy_until", "connect_outbox", "row_delete", "row_put"]

SOURCE = "d1fleet"
BUSY: Final = timedelta(seconds=60)
"""So long an alert belongs to whoever began to send it; all channels together take less."""


def connect_outbox(table: Table, bus: str, topic: Channel) -> "Outbox":
    """Return the outbox, endpoints and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return Outbox(table, cache(lambda: boto3.client("events", config=config)), bus, topic)


class Outbox:
    """Send what is waiting to be sent; the clients are opened when first used.

    `topic` is the one channel of alerts that every function has.
    """

    def __init__(
        self, table: Table, events: "Callable[[], EventBridgeClient]", bus: str, topic: Channel
    ) -> None:
        self._table = table
        self._events = events
        self._bus = bus
        self.topic = topic

    def waiting(self, limit: int | None = None) -> Iterator[Item]:
        """Yield rows that are not sent yet, the oldest first."""
        yield from self._table.query("OUTBOX", limit=limit)

    def deliver(self, row: Item) -> None:
        """Send an event and remove its row.

        Raises:
            Transient: the bus did not take it; the row stays.
        """
        try:
            answer = self._events().put_events(
                Entries=[
                    {
                        "Source": SOURCE,
                        "DetailType": str(row["detail_type"]),
                        "Detail": json.dumps(row["detail"], default=_number),
                        "EventBusName": self._bus,
                    }
                ]
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"{row['detail_type']} could not be sent: {error}") from error
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode", "unknown")
            raise Transient(f"the event bus refused {row['detail_type']}: {code}")
        self.remove(row)

    def keep(self, row: Item, **changes: Any) -> Item:
        """Write what became of an alert's row; return it as it now is.

        Raises:
            Conflict: somebody else wrote to it, or sent it to the end.
        """
        write = row_put(row, **changes)
        self._table.write(write)
        return write.item

    def remove(self, row: Item) -> None:
        """Forget a row that is sent."""
        self._table.write(Delete({"pk": str(row["pk"]), "sk": str(row["sk"])}))


def row_put(row: Item, **changes: Any) -> Put:
    """Return the write of a row with changes (None removes one), if nobody else changed it."""
    revision = int(row.get("revision", 0))
    after = {name: value for name, value in {**row, **changes}.items() if value is not None}
    return Put({**after, "revision": revision + 1}, _unchanged(revision))


def row_delete(row: Item) -> Delete:
    """Return the write that removes a row, if nobody else changed it."""
    key = {"pk": str(row["pk"]), "sk": str(row["sk"])}
    return Delete(key, _unchanged(int(row.get("revision", 0))))


def busy_until(now: datetime) -> str:
    """Return what a row says while somebody sends it."""
    return iso(now + BUSY)


def _unchanged(revision: int) -> Condition:
    if revision == 0:
        expression = "attribute_exists(pk) AND attribute_not_exists(revision)"
        return Condition("alert waits as it was read", expression)
    return Condition("alert waits as it was read", "revision = :read", values={":read": revision})


def _number(value: Any) -> int | float:
    """Turn DynamoDB's decimals into JSON's numbers."""
    return int(value) if value == int(value) else float(value)
