"""What was put right in moto's answers: pages in order, values as they were written."""

from typing import Any

import pytest

from tests.local.items import TABLE, add, key, put, read


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
