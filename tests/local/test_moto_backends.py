"""What was put right in moto: lean transactions, quick queues, polls that hold nobody up."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.aws.cloud import Aws
from local.aws.deploy import client

TABLE = "state"


@pytest.fixture
def table(aws: Aws) -> Iterator[Any]:
    """Make an empty table with an index; return its client."""
    dynamodb = client("dynamodb", aws.endpoint_url)
    names = ("pk", "sk", "kind", "due")
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_kind",
                "KeySchema": [
                    {"AttributeName": "kind", "KeyType": "HASH"},
                    {"AttributeName": "due", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    yield dynamodb
    dynamodb.delete_table(TableName=TABLE)
    dynamodb.close()


@pytest.fixture
def queue(aws: Aws) -> Iterator[tuple[Any, str]]:
    """Make an empty queue; return its client and URL."""
    sqs = client("sqs", aws.endpoint_url)
    url = sqs.create_queue(QueueName="work", Attributes={"VisibilityTimeout": "1"})["QueueUrl"]
    yield sqs, url
    sqs.delete_queue(QueueUrl=url)
    sqs.close()


def key(pk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": "META"}}


def put(pk: str, **more: str) -> dict[str, Any]:
    item = {**key(pk), **{name: {"S": value} for name, value in more.items()}}
    return {"Put": {"TableName": TABLE, "Item": item}}


def add(pk: str, **condition: Any) -> dict[str, Any]:
    return {
        "Update": {
            "TableName": TABLE,
            "Key": key(pk),
            "UpdateExpression": "ADD n :one",
            "ExpressionAttributeValues": {":one": {"N": "1"}, **condition.pop("values", {})},
            **condition,
        }
    }


def read(dynamodb: Any, pk: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = dynamodb.get_item(TableName=TABLE, Key=key(pk)).get("Item")
    return found


def test_a_transaction_applies_all_writes(table: Any) -> None:
    """Put, update and delete of one transaction are all there afterwards."""
    table.put_item(TableName=TABLE, Item=key("gone"))
    table.transact_write_items(
        TransactItems=[
            put("new", kind="x"),
            add("counter"),
            {"Delete": {"TableName": TABLE, "Key": key("gone")}},
        ]
    )
    new, counter = read(table, "new"), read(table, "counter")
    assert new is not None
    assert counter is not None
    assert counter["n"] == {"N": "1"}
    assert read(table, "gone") is None


def test_a_cancelled_transaction_leaves_no_trace(table: Any) -> None:
    """Whatever was done before the failed condition is undone: new, changed and deleted items."""
    table.transact_write_items(TransactItems=[put("changed", kind="before"), put("deleted")])
    with pytest.raises(ClientError) as failed:
        table.transact_write_items(
            TransactItems=[
                put("new"),
                put("changed", kind="after"),
                {"Delete": {"TableName": TABLE, "Key": key("deleted")}},
                add("counter", ConditionExpression="n = :five", values={":five": {"N": "5"}}),
            ]
        )
    reasons = [reason["Code"] for reason in failed.value.response["CancellationReasons"]]
    assert reasons == ["None", "None", "None", "ConditionalCheckFailed"]
    assert read(table, "new") is None
    assert read(table, "changed") == {**key("changed"), "kind": {"S": "before"}}
    assert read(table, "deleted") == key("deleted")
    assert read(table, "counter") is None
    found = table.query(
        TableName=TABLE,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "new"}},
    )
    assert found["Count"] == 0


def test_two_writes_to_one_item_are_refused_whole(table: Any) -> None:
    """DynamoDB takes no item twice in a transaction; nothing of it is applied."""
    with pytest.raises(ClientError):
        table.transact_write_items(TransactItems=[put("first"), add("twice"), add("twice")])
    assert read(table, "first") is None
    assert read(table, "twice") is None


def test_transactions_of_many_threads_are_isolated(table: Any) -> None:
    """Eight threads compare and set two items: what was acknowledged is in both, nothing else."""
    table.transact_write_items(TransactItems=[add("a"), add("b")])
    done: list[int] = []

    def work() -> None:
        for _ in range(15):
            seen = (read(table, "a") or {})["n"]["N"]
            condition = {
                "ConditionExpression": "n = :seen",
                "values": {":seen": {"N": seen}},
            }
            try:
                table.transact_write_items(
                    TransactItems=[add("a", **condition), add("b", **condition)]
                )
            except ClientError:
                continue
            done.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    a, b = read(table, "a"), read(table, "b")
    assert a is not None
    assert b is not None
    assert a["n"] == b["n"] == {"N": str(len(done) + 1)}


def test_nobody_sees_half_a_transaction(table: Any) -> None:
    """While transactions change twenty items together, a reader of all of them sees them alike."""
    names = [f"n{number}" for number in range(20)]
    done = threading.Event()

    def write() -> None:
        for _ in range(25):
            table.transact_write_items(TransactItems=[add(name) for name in names])
        done.set()

    writing = threading.Thread(target=write)
    writing.start()
    seen = []
    while not done.is_set():
        found = table.batch_get_item(RequestItems={TABLE: {"Keys": [key(n) for n in names]}})
        items = found["Responses"][TABLE]
        seen.append({int(item["n"]["N"]) for item in items} | ({0} if len(items) < 20 else set()))
    writing.join()
    assert [values for values in seen if len(values) > 1 and len(values - {0}) > 0] == []
    assert len(seen) > 3


def test_a_cancelled_transaction_takes_no_other_write_with_it(table: Any) -> None:
    """Items that others write meanwhile are kept, though transactions beside them are cancelled."""
    stop = threading.Event()

    def cancel() -> None:
        while not stop.is_set():
            with pytest.raises(ClientError):
                table.transact_write_items(
                    TransactItems=[
                        put("x"),
                        add("never", ConditionExpression="attribute_exists(pk)"),
                    ]
                )

    cancelling = threading.Thread(target=cancel)
    cancelling.start()
    for number in range(100):
        table.put_item(TableName=TABLE, Item=key(f"kept-{number}"))
    stop.set()
    cancelling.join()
    assert all(read(table, f"kept-{number}") for number in range(100))


def test_a_transaction_costs_the_same_in_a_large_table(table: Any) -> None:
    """With 3,000 items about, a transaction takes no multiple of its time in an empty table."""

    def cost() -> float:
        began = time.perf_counter()
        for _ in range(20):
            table.transact_write_items(TransactItems=[add("a"), add("b")])
        return time.perf_counter() - began

    cost()
    empty = cost()
    for start in range(0, 3000, 25):
        requests = [{"PutRequest": {"Item": key(str(n))}} for n in range(start, start + 25)]
        table.batch_write_item(RequestItems={TABLE: requests})
    assert cost() < 5 * empty


def pages(table: Any, **query: Any) -> list[str]:
    """Return the keys of all pages of a query, two items a page."""
    found = table.get_paginator("query").paginate(
        TableName=TABLE, PaginationConfig={"PageSize": 2}, **query
    )
    return [item["pk"]["S"] + item["sk"]["S"] for page in found for item in page["Items"]]


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize(
    ("condition", "values", "due"),
    [
        ("", {}, [1, 2, 3, 4, 5]),
        (" AND due > :due", {":due": {"S": "2"}}, [3, 4, 5]),
        (" AND due <= :due", {":due": {"S": "2"}}, [1, 2]),
        (" AND due BETWEEN :due AND :to", {":due": {"S": "2"}, ":to": {"S": "4"}}, [2, 3, 4]),
        (" AND begins_with(due, :due)", {":due": {"S": "5"}}, [5]),
        (" AND due > :due", {":due": {"S": "9"}}, []),
    ],
)
def test_queries_of_an_index_see_their_partition_in_order(
    table: Any, condition: str, values: dict[str, Any], due: list[int], forward: bool
) -> None:
    """Every page of an index: its partition alone, sorted either way, only items with its keys."""
    for number in (3, 1, 5, 2, 4):
        table.transact_write_items(
            TransactItems=[
                put(f"t{number}", kind="tenant", due=str(number)),
                put(f"o{number}", kind="other", due=str(number)),
                put(f"n{number}", kind="tenant"),
            ]
        )
    found = pages(
        table,
        IndexName="by_kind",
        KeyConditionExpression=f"kind = :kind{condition}",
        ExpressionAttributeValues={":kind": {"S": "tenant"}, **values},
        ScanIndexForward=forward,
    )
    wanted = [f"t{number}META" for number in due]
    assert found == (wanted if forward else wanted[::-1])


@pytest.mark.parametrize("forward", [True, False])
def test_queries_of_the_table_see_their_partition_in_order(table: Any, forward: bool) -> None:
    """Every page of a partition, by a prefix of the sort key; one without items is empty."""
    for number in (3, 1, 2):
        for kind in ("H", "M"):
            item = {"pk": {"S": "t"}, "sk": {"S": f"{kind}{number}"}}
            table.put_item(TableName=TABLE, Item=item)
    query: dict[str, Any] = {
        "KeyConditionExpression": "pk = :pk AND begins_with(sk, :sk)",
        "ScanIndexForward": forward,
    }
    found = pages(table, ExpressionAttributeValues={":pk": {"S": "t"}, ":sk": {"S": "H"}}, **query)
    wanted = ["tH1", "tH2", "tH3"]
    assert found == (wanted if forward else wanted[::-1])
    nobody = {":pk": {"S": "nobody"}, ":sk": {"S": "H"}}
    assert pages(table, ExpressionAttributeValues=nobody, **query) == []


def test_a_count_counts_what_the_filter_lets_through(table: Any) -> None:
    """Count and ScannedCount differ by the filter."""
    table.transact_write_items(TransactItems=[put(f"t{n}", kind="k", due=str(n)) for n in range(4)])
    found = table.query(
        TableName=TABLE,
        IndexName="by_kind",
        KeyConditionExpression="kind = :kind",
        FilterExpression="due > :due",
        ExpressionAttributeValues={":kind": {"S": "k"}, ":due": {"S": "1"}},
        Select="COUNT",
    )
    assert (found["Count"], found["ScannedCount"], "Items" in found) == (2, 4, False)


def test_what_a_query_returned_is_not_the_table(table: Any) -> None:
    """An item that was read, then changed, is read as changed, and the other way round."""
    table.transact_write_items(TransactItems=[put("t", kind="k", due="1")])
    query = {
        "TableName": TABLE,
        "IndexName": "by_kind",
        "KeyConditionExpression": "kind = :kind",
        "ExpressionAttributeValues": {":kind": {"S": "k"}},
    }
    before = table.query(**query)["Items"]
    table.transact_write_items(TransactItems=[add("t")])
    after = table.query(**query)["Items"]
    assert ("n" in before[0], after[0]["n"]) == (False, {"N": "1"})


def test_a_long_poll_ends_when_a_message_comes(queue: tuple[Any, str]) -> None:
    """A receive that waits gets a message at once when one is sent, and lets it be sent."""
    sqs, url = queue
    received: list[Any] = []

    def wait() -> None:
        received.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20).get("Messages", []))

    waiting = threading.Thread(target=wait)
    began = time.monotonic()
    waiting.start()
    for _ in range(20):  # the poll gets under way meanwhile, and holds up none of these
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    sqs.send_message(QueueUrl=url, MessageBody="hello")
    waiting.join(10)
    assert time.monotonic() - began < 5
    assert [message["Body"] for message in received[0]] == ["hello"]


def test_a_long_poll_sees_what_becomes_visible_by_itself(queue: tuple[Any, str]) -> None:
    """A delayed message, and one whose visibility timeout ends, are given to a poll that waits."""
    sqs, url = queue
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=1)
    for _ in range(2):
        answer = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)
        assert [message["Body"] for message in answer["Messages"]] == ["later"]


def test_a_poll_without_messages_ends_in_time(queue: tuple[Any, str]) -> None:
    """An empty queue answers with nothing after the time that was asked for."""
    sqs, url = queue
    began = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert 0.9 < time.monotonic() - began < 5


def test_a_long_queue_counts_right(queue: tuple[Any, str]) -> None:
    """Depths of a queue are those of its messages: waiting, in hand and delayed."""
    sqs, url = queue
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=60)
    sqs.receive_message(QueueUrl=url)
    names = ("", "NotVisible", "Delayed")
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert [found[f"ApproximateNumberOfMessages{name}"] for name in names] == ["2", "1", "1"]


VALUES: dict[str, Any] = {
    "text": {"S": "ä\n\u2028"},
    "empty": {"S": ""},
    "number": {"N": "-1.5"},
    "yes": {"BOOL": True},
    "no": {"BOOL": False},
    "nothing": {"NULL": True},
    "bytes": {"B": b"\x00\xff"},
    "list": {"L": [{"N": "1"}, {"L": []}, {"M": {"a": {"S": "b"}}}]},
    "map": {"M": {"deep": {"M": {"er": {"SS": ["x"]}}}, "none": {"M": {}}}},
    "numbers": {"NS": ["1"]},
    "blobs": {"BS": [b"\x00"]},
}


def test_answers_hold_values_of_every_type_as_they_were_written(table: Any) -> None:
    """Items come back the same from every operation that returns them."""
    item = {**key("all"), "kind": {"S": "k"}, "due": {"S": "1"}, **VALUES}
    table.put_item(TableName=TABLE, Item=item)
    assert read(table, "all") == item
    by_key = {
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "all"}},
    }
    found = table.query(TableName=TABLE, **by_key)
    assert (found["Items"], found["Count"], found["ScannedCount"]) == ([item], 1, 1)
    assert "LastEvaluatedKey" not in found
    counted = table.query(TableName=TABLE, Select="COUNT", **by_key)
    assert counted["Count"] == 1
    assert not counted.get("Items")
    assert table.scan(TableName=TABLE)["Items"] == [item]
    changed = table.update_item(
        TableName=TABLE,
        Key=key("all"),
        UpdateExpression="REMOVE nothing",
        ReturnValues="ALL_NEW",
    )["Attributes"]
    assert changed == {name: value for name, value in item.items() if name != "nothing"}
    silent = table.update_item(TableName=TABLE, Key=key("all"), UpdateExpression="REMOVE bytes")
    assert "Attributes" not in silent
    gone = table.delete_item(TableName=TABLE, Key=key("all"), ReturnValues="ALL_OLD")
    assert gone["Attributes"]["map"] == VALUES["map"]
    assert read(table, "all") is None


def test_a_page_ends_with_the_key_of_its_last_item(table: Any) -> None:
    """Queries of an index are read page by page, in order, as without the quick answers."""
    for number in range(3):
        table.put_item(
            TableName=TABLE,
            Item={**key(f"p{number}"), "kind": {"S": "k"}, "due": {"S": str(number)}},
        )
    pages = table.get_paginator("query").paginate(
        TableName=TABLE,
        IndexName="by_kind",
        KeyConditionExpression="kind = :k",
        ExpressionAttributeValues={":k": {"S": "k"}},
        PaginationConfig={"PageSize": 2},
    )
    assert [[item["pk"]["S"] for item in page["Items"]] for page in pages] == [["p0", "p1"], ["p2"]]
