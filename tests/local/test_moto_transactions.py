"""What was put right in moto's transactions: whole or not at all, and lean."""

import threading
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.local.items import TABLE, add, key, put, read


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
