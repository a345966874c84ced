"""Write down which AWS calls each function makes, so that a test can hold them against its policy.

Moto asks nobody for permission; in the cloud a call that the policy forgot fails. Each function
signs with an access key of its own name, so that the caller is known. One line of JSON is written
for each call that was not seen before.
"""

import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

__all__ = ["Call", "Recorder", "calls_of"]

Call = tuple[str, str]
"""An IAM action, and what it is done to: `("sqs:SendMessage", queue name)`."""

_CALLER: Final = re.compile(r"Credential=([^/,]+)/[^/]*/[^/]*/([a-z0-9-]+)/")
_TRANSACTION: Final = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}
_BATCHES: Final = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_S3_VERBS: Final = {"GET": "GetObject", "HEAD": "GetObject", "PUT": "PutObject"}
_S3_QUERIES: Final = {
    ("GET", "versioning"): "GetBucketVersioning",
    ("GET", "versionId"): "GetObjectVersion",
    ("POST", "uploads"): "PutObject",
    ("POST", "uploadId"): "PutObject",
    ("DELETE", "uploadId"): "AbortMultipartUpload",
}
"""What a request of S3 does is said by its query, too."""


def calls_of(service: str, method: str, path: str, target: str, body: bytes) -> Iterator[Call]:
    """Yield the actions of a request as IAM counts them: a transaction is what it consists of."""
    operation = target.rpartition(".")[2]
    if service == "s3":
        yield _s3(method, path)
    elif service == "sns":
        form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        yield f"sns:{form.get('Action', '')}", form.get("TopicArn", "")
    elif service == "dynamodb":
        yield from _dynamodb(operation, json.loads(body))
    elif service == "sqs":
        queue = str(json.loads(body).get("QueueUrl", "")).rpartition("/")[2]
        yield f"sqs:{_BATCHES.get(operation, operation)}", queue
    elif service == "secretsmanager":
        yield f"secretsmanager:{operation}", str(json.loads(body).get("SecretId", ""))
    elif service == "events":
        for entry in json.loads(body).get("Entries", [{}]):
            yield f"events:{operation}", str(entry.get("EventBusName", ""))
    else:
        yield f"{service}:{operation or method}", path


def _s3(method: str, path: str) -> Call:
    parts = urlsplit(path)
    asked = parse_qs(parts.query, keep_blank_values=True)
    named = (verb for (for_, key), verb in _S3_QUERIES.items() if for_ == method and key in asked)
    verb = next(named, _S3_VERBS.get(method, method))
    return f"s3:{verb}", unquote(parts.path.lstrip("/"))


def _dynamodb(operation: str, request: Mapping[str, Any]) -> Iterator[Call]:
    if operation in {"TransactWriteItems", "TransactGetItems"}:
        for entry in request["TransactItems"]:
            for verb, write in entry.items():
                yield f"dynamodb:{_TRANSACTION[verb]}", write["TableName"]
    elif operation in {"BatchGetItem", "BatchWriteItem"}:
        for table in request["RequestItems"]:
            yield f"dynamodb:{operation}", table
    else:
        index = f"/index/{request['IndexName']}" if "IndexName" in request else ""
        yield f"dynamodb:{operation}", f"{request.get('TableName', '')}{index}"


class Recorder:
    """Append each new (caller, action, resource) to a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: set[tuple[str, str, str]] = set()
        self._lock = Lock()

    def look(self, environ: "WSGIEnvironment") -> None:
        """Note a request; its body can still be read by whoever comes next."""
        found = _CALLER.search(environ.get("HTTP_AUTHORIZATION", ""))
        if found is None:
            return
        caller, service = found.groups()
        body = b""
        if service != "s3":
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if query := environ.get("QUERY_STRING"):
            path = f"{path}?{query}"
        for action, resource in calls_of(service, method, path, target, body):
            self._note((caller, action, resource))

    def _note(self, call: tuple[str, str, str]) -> None:
        with self._lock:
            if call in self._seen:
                return
            self._seen.add(call)
            names = ("caller", "action", "resource")
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(zip(names, call, strict=True))) + "\n")
