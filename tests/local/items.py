"""Items of a small table, as DynamoDB's own client says them."""

from typing import Any

TABLE = "state"


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
