"""The outbox: events and alerts, written with the state they speak of, sent at least once.

A row is sent, then removed; killed in between, it is sent again with the same id. Consumers tell
repeats by `detail.id`.
"""

import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.table import Delete, Item, Table
from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient
    from mypy_boto3_sns.client import SNSClient

__all__ = ["Outbox", "connect_outbox"]

SOURCE = "d1fleet"


def connect_outbox(table: Table, bus: str, topic_arn: str) -> "Outbox":
    """Return the outbox, endpoints and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return Outbox(
        table,
        cache(lambda: boto3.client("events", config=config)),
        cache(lambda: boto3.client("sns", config=config)),
        bus,
        topic_arn,
    )


class Outbox:
    """Send what is waiting to be sent; the clients are opened when first used."""

    def __init__(
        self,
        table: Table,
        events: "Callable[[], EventBridgeClient]",
        sns: "Callable[[], SNSClient]",
        bus: str,
        topic_arn: str,
    ) -> None:
        self._table = table
        self._events = events
        self._sns = sns
        self._bus = bus
        self._topic_arn = topic_arn

    def waiting(self, limit: int) -> Iterator[Item]:
        """Yield rows that are not sent yet, the oldest first."""
        yield from self._table.query("OUTBOX", limit=limit)

    def deliver(self, row: Item) -> None:
        """Send one row and remove it.

        Raises:
            Transient: the bus or the topic did not take it; the row stays.
        """
        try:
            if row["kind"] == "event":
                self._put_event(row)
            else:
                self._publish_alert(row)
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"{row['detail_type']} could not be sent: {error}") from error
        self._table.write(Delete({"pk": str(row["pk"]), "sk": str(row["sk"])}))

    def _put_event(self, row: Item) -> None:
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
        if answer["FailedEntryCount"]:
            code = answer["Entries"][0].get("ErrorCode", "unknown")
            raise Transient(f"the event bus refused {row['detail_type']}: {code}")

    def _publish_alert(self, row: Item) -> None:
        detail = row["detail"]
        state = str(detail.get("state", "firing")).upper()
        summary = f"[{state}] {detail['kind']}: {detail['summary']}"
        body = json.dumps(detail, default=_number, indent=2)
        subject = "".join(char if " " <= char <= "~" else " " for char in summary)[:100]
        self._sns().publish(
            TopicArn=self._topic_arn,
            Subject=subject,
            Message=f"{summary}\nfingerprint: {detail['fingerprint']}\n{body}",
            MessageAttributes={
                "kind": {"DataType": "String", "StringValue": str(detail["kind"])},
                "severity": {"DataType": "String", "StringValue": str(detail["severity"])},
            },
        )


def _number(value: Any) -> int | float:
    """Turn DynamoDB's decimals into JSON's numbers."""
    return int(value) if value == int(value) else float(value)
