"""What a function changed outside of itself, as a proxy between them can tell from the requests."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

__all__ = ["Change", "change_of"]

_DYNAMO_WRITES = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}
)
_ROUTER_WRITES = frozenset({"tenants.upsert", "migrate"})
_VOLATILE = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-hjkmnp-tv-z]{26}|e0+1",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Change:
    """One mutating call: `what` is the same in each run, `names` say whom it was about.

    `names` are tenant ids and ULIDs of databases.
    """

    what: str
    names: frozenset[str]


def change_of(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Change | None:
    """Return what a request changes once it is answered with success; None if it only reads."""
    headers = {name.lower(): value for name, value in headers.items()}
    target = headers.get("x-amz-target", "")
    bare = urlsplit(path).path
    if target.startswith("DynamoDB"):
        return _dynamodb(target.rpartition(".")[2], body)
    if target:
        operation = target.rpartition(".")[2]
        return _message(operation, body) if operation.startswith(("Send", "PutEvents")) else None
    if "/_d1fleet/" in bare:
        operation = bare.rpartition("/")[2]
        return _router(operation, body) if operation in _ROUTER_WRITES else None
    if b"Action=Publish" in body:
        subject = parse_qs(body.decode()).get("Message", [""])[0]
        return Change("sns Publish", _named(subject))
    if method in {"GET", "HEAD"} or "authorization" not in headers:
        return None
    kind = "s3" if "AWS4-HMAC" in headers["authorization"] else "cloudflare"
    return Change(
        f"{kind} {method} {_VOLATILE.sub('…', bare)}", _named(bare + body.decode("latin1"))
    )


def _dynamodb(operation: str, body: bytes) -> Change | None:
    if operation not in _DYNAMO_WRITES:
        return None
    request = json.loads(body)
    entries = [entry for each in request.get("TransactItems", []) for entry in each.values()]
    keys = [tuple(_key(entry)) for entry in entries or [request]]
    shapes = sorted({_VOLATILE.sub("…", f"{_kind(pk)}/{_kind(sk)}") for pk, sk in keys})
    names = {pk.partition("#")[2] for pk, _ in keys if pk.startswith(("TENANT#", "DB#"))}
    names |= {sk.partition("#")[2] for _, sk in keys if sk.startswith("DB#")}
    what = f"dynamodb {operation} {' '.join(shapes)}"
    if operation == "UpdateItem":
        # Records are changed whole, or in one attribute that says why: a lease, a count, a permit.
        what += f" {' '.join(request['UpdateExpression'].split()[:2])}"
    return Change(what, frozenset(names))


def _kind(key: str) -> str:
    return key.partition("#")[0]


def _key(entry: Mapping[str, Any]) -> Iterator[str]:
    attributes = entry.get("Key") or entry.get("Item") or {}
    for name in ("pk", "sk"):
        yield attributes[name]["S"]


def _message(operation: str, body: bytes) -> Change:
    request = json.loads(body)
    if operation == "PutEvents":
        kinds = sorted({entry["DetailType"] for entry in request["Entries"]})
        return Change(f"events PutEvents {' '.join(kinds)}", _named(body.decode()))
    queue = str(request["QueueUrl"]).rpartition("/")[2]
    queue = "bind" if queue.endswith(".fifo") else "work"
    bodies = [e["MessageBody"] for e in request.get("Entries", [request])]
    messages = [json.loads(each) for each in bodies]
    kinds = sorted({str(message["kind"]) for message in messages})
    names = frozenset(str(m["id"]) for m in messages if m["kind"] in {"tenant", "database"})
    return Change(f"sqs {operation} {queue} {' '.join(kinds)}", names)


def _router(operation: str, body: bytes) -> Change:
    request = json.loads(body)
    names = {str(row["tenant_id"]) for row in request.get("rows", [])}
    if "binding" in request:
        names.add(str(request["binding"]).removeprefix("DB_").lower())
    return Change(f"router {operation}", frozenset(names))


def _named(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"org_\w+", text))
