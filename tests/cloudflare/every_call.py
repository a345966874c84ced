"""Each call of the client, by name: what holds for all of them is tested on all of them."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.cloudflare.client import LaneClient

SECRET = "canary-secret-value-77"
WRITES: dict[str, Callable[[LaneClient], Any]] = {
    "d1.create": lambda c: c.d1.create("t-1", "weur"),
    "d1.delete": lambda c: c.d1.delete("u"),
    "d1.query": lambda c: c.d1.query("u", "INSERT INTO x VALUES (1)"),
    "d1.batch": lambda c: c.d1.batch("u", [("INSERT INTO x VALUES (?)", [1])]),
    "d1.raw": lambda c: c.d1.raw("u", "INSERT INTO x VALUES (1)"),
    "d1.import_ingest": lambda c: c.d1.import_ingest("u", "etag", "file"),
    "workers.patch_settings": lambda c: c.workers.patch_settings(
        "s", [{"type": "secret_text", "name": "S", "text": SECRET}]
    ),
    "workers.upload": lambda c: c.workers.upload(
        "s",
        "main.js",
        {"main.js": b"export default {}"},
        {"bindings": [{"type": "secret_text", "name": "S", "text": SECRET}]},
    ),
    "workers.delete": lambda c: c.workers.delete("s"),
    "workers.put_secret": lambda c: c.workers.put_secret("s", "S", SECRET),
    "workers.set_script_subdomain": lambda c: c.workers.set_script_subdomain("s", enabled=True),
}
READS: dict[str, Callable[[LaneClient], Any]] = {
    "d1.get": lambda c: c.d1.get("u"),
    "d1.pages": lambda c: list(c.d1.pages()),
    "d1.query read-only": lambda c: c.d1.query("u", "SELECT 1", read_only=True),
    "d1.read": lambda c: c.d1.read("u", ["SELECT 1"]),
    "d1.export": lambda c: c.d1.export("u"),
    "d1.import_init": lambda c: c.d1.import_init("u", "etag"),
    "d1.import_poll": lambda c: c.d1.import_poll("u", "mark"),
    "d1.bookmark": lambda c: c.d1.bookmark("u"),
    "workers.settings": lambda c: c.workers.settings("s"),
    "workers.exists": lambda c: c.workers.exists("s"),
    "workers.deployments": lambda c: c.workers.deployments("s"),
    "workers.versions": lambda c: c.workers.versions("s"),
    "workers.version": lambda c: c.workers.version("s", "v"),
    "workers.account_subdomain": lambda c: c.workers.account_subdomain(),
    "workers.script_subdomain": lambda c: c.workers.script_subdomain("s"),
    "account.verify_token": lambda c: c.account.verify_token(),
    "account.accounts": lambda c: c.account.accounts(),
}
CALLS = {**WRITES, **READS}


def by_name(calls: dict[str, Callable[[LaneClient], Any]]) -> Any:
    return pytest.mark.parametrize("call", [pytest.param(c, id=n) for n, c in calls.items()])


every_call = by_name(CALLS)
every_read = by_name(READS)
every_write = by_name(WRITES)
