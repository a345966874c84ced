"""moto's DynamoDB asked without HTTP of its own.

moto's handlers judge and apply a request as ever. What is left out is the way to them, which costs
more than most requests themselves: an address that is compared with every service's, a request and
a response that are made, parsed and made again. Measured with moto 5.2.5, see `answers`.
"""

import json
from typing import Any, Final

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.core.utils import camelcase_to_underscores
from moto.dynamodb.responses import DynamoHandler

from local.aws.answers import written
from local.aws.template import REGION

__all__ = ["answer_directly"]

OPERATIONS: Final = frozenset(
    {"DeleteItem", "GetItem", "PutItem", "Query", "TransactWriteItems", "UpdateItem"}
)
BINARY: Final = (b'"B":', b'"BS":')


class _Handler(DynamoHandler):
    """A handler that was given what it would read from a request."""

    region = REGION
    current_account = DEFAULT_ACCOUNT_ID

    def __init__(self, body: dict[str, Any]) -> None:
        super().__init__()
        self.body = body


def answer_directly(operation: str, body: bytes) -> str | None:
    """Return what DynamoDB answers with status 200, as JSON; None: send the request as ever."""
    if operation not in OPERATIONS or any(kind in body for kind in BINARY):
        return None  # only the long way makes bytes of base64
    handler = _Handler(json.loads(body))
    try:
        result = getattr(handler, camelcase_to_underscores(operation))().result
    except Exception:  # noqa: BLE001 - what is refused changed nothing: ask again to be told why
        return None
    return written(result or {})
