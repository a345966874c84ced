"""moto's DynamoDB asked without HTTP: the walks over all side effects make a great many calls.

boto3 writes the request as ever and moto's own handlers judge and apply it. What is left out is the
way between them: an address, a request and a response of HTTP, each written and parsed again.
"""

import json
from typing import Any, Final

from botocore.model import OperationModel
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler

__all__ = ["answer_directly"]

OPERATIONS: Final = frozenset(
    {"DeleteItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"}
)
REGION: Final = "us-east-1"
DONE: Final = 200


class _Handler(DynamoHandler):
    """A handler that was given what it would read from a request."""

    region = REGION
    current_account = DEFAULT_ACCOUNT_ID

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.body = body


class _Answered:
    """What botocore looks at in a response of HTTP."""

    status_code = DONE


def answer_directly(client: Any) -> None:
    """Let a client of DynamoDB ask moto's handlers themselves, within `mock_aws`."""
    client.meta.events.register("before-call.dynamodb", _answer)


def _answer(model: OperationModel, params: dict[str, Any], **_: Any) -> Any:
    """Return the response and what is in it; None sends the request as ever."""
    body = params["body"]
    if model.name not in OPERATIONS or b'"B":' in body:
        return None  # only the way over HTTP makes bytes of base64
    handler = _Handler(json.loads(body))
    try:
        result = getattr(handler, camelcase_to_underscores(model.name))().result
    except Exception:  # noqa: BLE001 - whatever was refused changed nothing: ask for it in full
        return None
    told = {name: value for name, value in (result or {}).items() if value is not None}
    parsed = json.loads(json.dumps(told))
    parsed["ResponseMetadata"] = {"HTTPStatusCode": DONE, "HTTPHeaders": {}, "RetryAttempts": 0}
    return _Answered(), parsed
