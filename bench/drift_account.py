"""A fleet of any size whose table and account answer at once: what a drift pass costs by itself.

Cloudflare and the router answer over HTTP on this machine, in their own formats. The table is in
memory, so that no figure is that of a DynamoDB that somebody wrote in Python.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from threading import Thread
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from shared.aws.table import Item, Table
from shared.domain.names import binding_name, database_name, shard_script

__all__ = [
    "ACCOUNT",
    "FLEET",
    "SHARDS",
    "Fleet",
    "MemoryTable",
    "make_fleet",
    "serving",
    "ulid_of",
    "uuid_of",
]

FLEET: Final = "bench"
UID: Final = "01J00000000000000000000UID"
ACCOUNT: Final = "0" * 32
SHARDS: Final = 12
_THEN: Final = "2026-01-01T00:00:00.000000Z"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def ulid_of(number: int) -> str:
    digits = ""
    for _ in range(25):
        number, digit = divmod(number, 32)
        digits = _ALPHABET[digit] + digits
    return "0" + digits


def uuid_of(number: int) -> str:
    return str(UUID(int=number))


@dataclass
class Fleet:
    """Hold the items of the table by partition and index, and what the account would answer."""

    count: int
    items: dict[tuple[str, str], Item] = field(default_factory=dict)
    partitions: dict[str, list[Item]] = field(default_factory=dict)
    indexed: dict[str, list[Item]] = field(default_factory=dict)
    calls: Counter[str] = field(default_factory=Counter)

    def put(self, item: Item) -> None:
        self.items[item["pk"], item["sk"]] = item
        if "status_key" in item:
            self.indexed.setdefault(item["status_key"], []).append(item)
        if item["sk"] != "META":
            self.partitions.setdefault(item["pk"], []).append(item)

    def shard_of(self, number: int) -> str:
        return shard_script(FLEET, 1 + number % SHARDS)


def make_fleet(count: int) -> Fleet:
    """Return a fleet of so many tenants, each with its database, on twelve shards."""
    fleet = Fleet(count)
    times = {"created_at": _THEN, "updated_at": _THEN, "status_since": _THEN, "version": 3}
    fleet.put(
        {
            "pk": "FLEET",
            "sk": "META",
            "fleet": FLEET,
            "uid": UID,
            "account_id": ACCOUNT,
            "directory_id": "directory",
            "router_url": "-",
            "created_at": _THEN,
        }
    )
    for number in range(1, SHARDS + 1):
        script = shard_script(FLEET, number)
        fleet.put({"pk": "SHARDS", "sk": script, "number": number, "used": count // SHARDS})
        worker = {"script": script, "role": "shard", "number": number, "code": "c", **times}
        generation = {"generation": 1, "published_generation": 1, "live_generation": 1}
        fleet.put({"pk": f"WORKER#{script}", "sk": "META", **worker, **generation})
    for number in range(count):
        _put_tenant(fleet, number, times)
    return fleet


def _put_tenant(fleet: Fleet, number: int, times: dict[str, Any]) -> None:
    tenant_id, ulid, uuid = f"org_{number:07d}", ulid_of(number), uuid_of(number)
    shard, binding = fleet.shard_of(number), binding_name(ulid)
    place = {"shard": shard, "database_id": uuid, "schema_version": ""}
    fleet.put(
        {
            "pk": f"TENANT#{tenant_id}",
            "sk": "META",
            "status_key": "tenant#active",
            "tenant_id": tenant_id,
            "status": "active",
            "class": "weur",
            "binding": binding,
            "database_ulid": ulid,
            "database_name": database_name(FLEET, ulid),
            "routed_status": "active",
            "due": _THEN,
            **place,
            **times,
        }
    )
    fleet.put(
        {
            "pk": f"DB#{ulid}",
            "sk": "META",
            "status_key": "database#weur#claimed",
            "ulid": ulid,
            "name": database_name(FLEET, ulid),
            "status": "claimed",
            "class": "weur",
            "tenant_id": tenant_id,
            "owner": tenant_id,
            "due": _THEN,
            **place,
            **times,
        }
    )
    slot = {"ulid": ulid, "binding": binding, "database_id": uuid, "generation": 1, "live": True}
    fleet.put({"pk": f"WORKER#{shard}", "sk": f"DB#{ulid}", **slot})


class MemoryTable(Table):
    """Answer as the state table does, from memory."""

    def __init__(self, fleet: Fleet) -> None:
        self.name = "memory"
        self._fleet = fleet

    def get(self, pk: str, sk: str = "META") -> Item | None:
        return self._fleet.items.get((pk, sk))

    def query(self, pk: str, *, prefix: str | None = None, **_: Any) -> Iterator[Item]:
        for item in self._fleet.partitions.get(pk, ()):
            if prefix is None or item["sk"].startswith(prefix):
                yield item

    def query_index(self, _: str, partition: tuple[str, str], **more: Any) -> Iterator[Item]:
        yield from islice(self._fleet.indexed.get(partition[1], ()), more.get("limit"))

    def count_index(self, _: str, partition: tuple[str, str], *, limit: int) -> int:
        return min(limit, len(self._fleet.indexed.get(partition[1], ())))

    def write(self, _: Any) -> Item | None:
        return None


@contextmanager
def serving(fleet: Fleet) -> Iterator[str]:
    """Serve the account and its router on this machine; give the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(fleet))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(fleet: Fleet) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path.endswith("/d1/database"):
                fleet.calls["list"] += 1
                self._say(_page(fleet, parse_qs(url.query)))
            elif url.path.endswith("/settings"):
                fleet.calls["settings"] += 1
                self._say(_settings(fleet, url.path.split("/")[-2]))
            else:
                self._say({"success": True, "result": [], "errors": [], "messages": []})

        def do_POST(self) -> None:
            fleet.calls["router"] += 1
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._say(_router(fleet, asked))

        def _say(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            return

    return Handler


def _page(fleet: Fleet, asked: dict[str, list[str]]) -> dict[str, Any]:
    page, size = int(asked.get("page", ["1"])[0]), int(asked.get("per_page", ["1000"])[0])
    numbers = range(fleet.count)[(page - 1) * size : page * size]
    rows = [
        {
            "uuid": uuid_of(each),
            "name": database_name(FLEET, ulid_of(each)),
            "version": "production",
            "created_at": _THEN,
            "jurisdiction": None,
        }
        for each in numbers
    ]
    info = {"page": page, "per_page": size, "count": len(rows), "total_count": fleet.count}
    return {"success": True, "errors": [], "messages": [], "result": rows, "result_info": info}


def _settings(fleet: Fleet, script: str) -> dict[str, Any]:
    slots = [item for item in fleet.partitions[f"WORKER#{script}"] if "binding" in item]
    bindings = [
        {"type": "d1", "name": slot["binding"], "id": slot["database_id"]} for slot in slots
    ]
    return {"success": True, "errors": [], "messages": [], "result": {"bindings": bindings}}


def _router(fleet: Fleet, asked: dict[str, Any]) -> dict[str, Any]:
    match asked["op"]:
        case "tenants.list":
            after = asked["after"]
            first = 0 if after is None else int(after.removeprefix("org_")) + 1
            numbers = range(fleet.count)[first : first + asked["limit"]]
            rows = [_row(fleet, each) for each in numbers]
            more = bool(numbers) and numbers[-1] + 1 < fleet.count
            return {"rows": rows, "next": rows[-1]["tenant_id"] if more else None}
        case "inspect":
            schema = hashlib.sha256(b"[]").hexdigest()
            row = {"size": 20_000, "schema_hash": schema, "schema_version": None}
            return {"rows": [{"binding": each, **row} for each in asked["bindings"]]}
        case _:
            script = asked.get("shard") or asked["script"]
            served = {"generation": 1, "bindings": 0, "bindings_hash": "", "code": "c"}
            return {"script": script, "fleet_uid": UID, **served}


def _row(fleet: Fleet, number: int) -> dict[str, Any]:
    return {
        "tenant_id": f"org_{number:07d}",
        "shard": fleet.shard_of(number),
        "state": "active",
        "binding": binding_name(ulid_of(number)),
        "database_uuid": uuid_of(number),
        "schema_version": "",
        "version": 3,
    }
