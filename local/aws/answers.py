"""What moto does for each request at a cost that grows with its code, done at the cost of the data.

- It writes an item's answer by walking the API's model, trying many spellings of every member of
  every value: nine tenths of the time of a query. DynamoDB's answers are JSON values already.
- It asks for each text and number in an item what else it could be, and imports a module to ask.
- It lists its own folders and its classes' methods anew for each request.

Measured with moto 5.2.5: a whole fleet's requests took a quarter of the processor time.
"""

import base64
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import moto.backends
import moto.core.responses
import moto.dynamodb.responses
from moto.core.responses import ActionContext
from moto.core.utils import method_names_from_class
from moto.dynamodb.models.dynamo_type import DynamoType
from moto.dynamodb.models.utilities import dynamo_to_dict
from moto.dynamodb.responses import DynamoResult

__all__ = ["install", "written"]

OF_ITEMS: Final = frozenset({"DeleteItem", "GetItem", "PutItem", "Query", "Scan", "UpdateItem"})
"""Operations whose answers hold items and counts, and nothing that the model would change."""

BINARY: Final = frozenset({"B", "BS"})
HEADERS: Final = {"Content-Type": "application/x-amz-json-1.0"}


class PlainResult(DynamoResult):
    """An answer that is written as it is."""

    def execute_result(self, context: ActionContext) -> Any:
        """Return status, headers and body."""
        result = self.result
        if context.operation_model.name not in OF_ITEMS or not isinstance(result, dict):
            return super().execute_result(context)
        return 200, dict(HEADERS), written(result)


def written(result: Mapping[str, Any]) -> str:
    """Return the JSON of an answer that holds items and counts."""
    told = {name: value for name, value in result.items() if value is not None}
    return json.dumps(told, default=_binary)


def _binary(value: Any) -> str:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} is no part of an item")
    return base64.b64encode(value).decode()


def _as_values(thing: Any) -> Any:
    """Return what moto's own function does, having looked first for what nearly all is."""
    match thing:
        case str() | int():
            return thing
        case DynamoType() if thing.type not in BINARY:
            return {thing.type: _as_values(thing.value)}
        case dict():
            return {name: _as_values(value) for name, value in thing.items()}
        case list():
            return [_as_values(each) for each in thing]
        case _:
            return dynamo_to_dict(thing)


def install() -> None:
    """Make moto answer so; called once, in the server's process."""
    moto.dynamodb.responses.DynamoResult = PlainResult  # type: ignore[misc] # a class of ours
    moto.dynamodb.responses.dynamo_to_dict = _as_values  # type: ignore[assignment, attr-defined]
    moto.core.responses.method_names_from_class = cache(method_names_from_class)  # type: ignore[attr-defined]
    modules = tuple(moto.backends.list_of_moto_modules())
    moto.backends.list_of_moto_modules = lambda: modules
