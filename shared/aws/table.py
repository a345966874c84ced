"""One seam to DynamoDB: typed items in and out, every condition with a name.

A write says what must hold (`Condition`), and when it does not, `Conflict` carries that name. The
stores (`tenants`, `databases`, `workers`, …) compose such writes into transactions; nothing else
speaks to the table.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import Conflict, Transient

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

__all__ = ["Check", "Condition", "Delete", "Item", "Put", "Table", "Update", "Write", "connect"]

Item = dict[str, Any]

CONTENTION_TRIES: Final = 6
_CONTENTION: Final = frozenset(
    {"ProvisionedThroughputExceeded", "ThrottlingError", "TransactionConflict"}
)
_CONTENTION_CODES: Final = frozenset(
    {"TransactionConflictException", "TransactionInProgressException"}
)


@dataclass(frozen=True)
class Condition:
    """Name what must hold for a write: `name` is for people, the rest for DynamoDB."""

    name: str
    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Put:
    """Write a whole item."""

    item: Item
    condition: Condition | None = None


@dataclass(frozen=True)
class Update:
    """Change some attributes of an item."""

    key: Mapping[str, str]
    expression: str
    names: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    condition: Condition | None = None


@dataclass(frozen=True)
class Delete:
    """Remove an item."""

    key: Mapping[str, str]
    condition: Condition | None = None


@dataclass(frozen=True)
class Check:
    """Only look whether a condition holds, as part of a transaction."""

    key: Mapping[str, str]
    condition: Condition


Write = Put | Update | Delete | Check


def connect(table_name: str) -> "Table":
    """Return the state table, its endpoint and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    # The resource's own client speaks plain Python values, the bare client does not.
    client = boto3.resource("dynamodb", config=config).meta.client
    return Table(client, table_name)


class Table:
    """Read and write the state table.

    Every method raises `Transient` when DynamoDB does not answer or is contended, and `Conflict`
    when a named condition did not hold.
    """

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self.name = name

    def get(self, pk: str, sk: str = "META") -> Item | None:
        """Return an item, read consistently, or None."""
        answer = self._call(
            "get_item", TableName=self.name, Key={"pk": pk, "sk": sk}, ConsistentRead=True
        )
        item: Item | None = answer.get("Item")
        return item

    def query(
        self,
        pk: str,
        *,
        prefix: str | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> Iterator[Item]:
        """Yield the items of a partition, read consistently, page by page."""
        expression, values = "pk = :pk", {":pk": pk}
        if prefix is not None:
            expression, values = "pk = :pk AND begins_with(sk, :sk)", {":pk": pk, ":sk": prefix}
        yield from self._pages(
            limit,
            KeyConditionExpression=expression,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
            ScanIndexForward=not newest_first,
        )

    def query_index(
        self,
        index: str,
        partition: tuple[str, str],
        *,
        sort: tuple[str, str, str] | None = None,
        limit: int | None = None,
    ) -> Iterator[Item]:
        """Yield the items of an index's partition in its order.

        `partition` is (attribute, value), `sort` (attribute, operator, value). An index lags behind
        the table: what it says is a hint, to be read again or guarded by a condition.
        """
        yield from self._pages(limit, IndexName=index, **_within(partition, sort))

    def count_index(
        self,
        index: str,
        partition: tuple[str, str],
        *,
        sort: tuple[str, str, str] | None = None,
        limit: int,
    ) -> int:
        """Count the items of an index's partition, up to `limit`; arguments as of `query_index`."""
        count, start = 0, None
        while count < limit:
            more: dict[str, Any] = {} if start is None else {"ExclusiveStartKey": start}
            answer = self._call(
                "query",
                TableName=self.name,
                IndexName=index,
                Select="COUNT",
                **_within(partition, sort),
                **more,
            )
            count += int(answer["Count"])
            start = answer.get("LastEvaluatedKey")
            if start is None:
                break
        return min(count, limit)

    def write(self, write: Put | Update | Delete) -> Item | None:
        """Do one write; return the item as it now is for an update, else None."""
        match write:
            case Put():
                self._guarded("put_item", write, Item=write.item)
                return None
            case Delete():
                self._guarded("delete_item", write, Key=dict(write.key))
                return None
            case Update():
                answer = self._guarded(
                    "update_item",
                    write,
                    Key=dict(write.key),
                    UpdateExpression=write.expression,
                    ReturnValues="ALL_NEW",
                )
                item: Item = answer["Attributes"]
                return item

    def transact(self, writes: Sequence[Write]) -> None:
        """Do all of up to 100 writes, or none.

        Raises:
            Conflict: with the name of the first condition that did not hold.
            Transient: other transactions were in the way each time.
        """
        request = [self._transact_item(write) for write in writes]
        for _ in range(CONTENTION_TRIES):
            try:
                self._client.transact_write_items(TransactItems=request)  # type: ignore[arg-type] # plain values: see connect()
            except ClientError as error:
                self._judge(error, writes)
            except BotoCoreError as error:
                raise Transient(f"DynamoDB does not answer: {type(error).__name__}") from error
            else:
                return
        raise Transient("the table is contended", retry_after=1)

    def _judge(self, error: ClientError, writes: Sequence[Write]) -> None:
        """Return when the transaction may be tried again at once, raise otherwise."""
        code = error.response["Error"]["Code"]
        if code in _CONTENTION_CODES:
            return
        if code != "TransactionCanceledException":
            raise self._translated(error) from error
        reasons = [
            str(reason.get("Code")) for reason in error.response.get("CancellationReasons", [])
        ]
        for write, reason in zip(writes, reasons, strict=False):
            if reason == "ConditionalCheckFailed" and write.condition is not None:
                raise Conflict(write.condition.name) from error
        if not _CONTENTION.intersection(reasons):
            raise error

    def _transact_item(self, write: Write) -> dict[str, Any]:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        body: dict[str, Any] = {"TableName": self.name}
        verb: str
        match write:
            case Put():
                verb, body["Item"] = "Put", write.item
            case Delete():
                verb, body["Key"] = "Delete", dict(write.key)
            case Check():
                verb, body["Key"] = "ConditionCheck", dict(write.key)
            case Update():
                verb, body["Key"] = "Update", dict(write.key)
                body["UpdateExpression"] = write.expression
                names |= write.names
                values |= write.values
        self._add_condition(body, write.condition, names, values)
        return {verb: body}

    def _guarded(self, method: str, write: Put | Update | Delete, **kwargs: Any) -> Any:
        names: dict[str, str] = {}
        values: dict[str, Any] = {}
        if isinstance(write, Update):
            names |= write.names
            values |= write.values
        body: dict[str, Any] = {"TableName": self.name, **kwargs}
        self._add_condition(body, write.condition, names, values)
        try:
            return self._call(method, **body)
        except Conflict:
            assert write.condition is not None  # noqa: S101 - only a condition can fail
            raise Conflict(write.condition.name) from None

    @staticmethod
    def _add_condition(
        body: dict[str, Any],
        condition: Condition | None,
        names: dict[str, str],
        values: dict[str, Any],
    ) -> None:
        if condition is not None:
            body["ConditionExpression"] = condition.expression
            names |= condition.names
            values |= condition.values
        if names:
            body["ExpressionAttributeNames"] = names
        if values:
            body["ExpressionAttributeValues"] = values

    def _pages(self, limit: int | None, **kwargs: Any) -> Iterator[Item]:
        left = limit
        start = None
        while True:
            more: dict[str, Any] = {} if start is None else {"ExclusiveStartKey": start}
            if left is not None:
                more["Limit"] = left
            answer = self._call("query", TableName=self.name, **kwargs, **more)
            yield from answer["Items"]
            start = answer.get("LastEvaluatedKey")
            if left is not None:
                left -= len(answer["Items"])
            if start is None or (left is not None and left <= 0):
                return

    def _call(self, method: str, **kwargs: Any) -> Any:
        try:
            return getattr(self._client, method)(**kwargs)
        except ClientError as error:
            raise self._translated(error) from error
        except BotoCoreError as error:
            raise Transient(f"DynamoDB does not answer: {type(error).__name__}") from error

    @staticmethod
    def _translated(error: ClientError) -> Exception:
        code = error.response["Error"]["Code"]
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code == "ConditionalCheckFailedException":
            return Conflict("the condition of the write")
        throttled = code in {"ThrottlingException", "ProvisionedThroughputExceededException"}
        if throttled or code in _CONTENTION_CODES or status >= 500:
            return Transient(f"DynamoDB is busy: {code}", retry_after=1)
        return error


def _within(partition: tuple[str, str], sort: tuple[str, str, str] | None) -> dict[str, Any]:
    """Return what selects the items of an index's partition, or of a part of it."""
    names, values, expression = {"#p": partition[0]}, {":p": partition[1]}, "#p = :p"
    if sort is not None:
        names["#s"], values[":s"] = sort[0], sort[2]
        expression += f" AND #s {sort[1]} :s"
    return {
        "KeyConditionExpression": expression,
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
    }
