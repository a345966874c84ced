"""A router that answers as it is told, and each operation that can be asked of it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.router.client import RouterClient
from shared.router.models import DirectoryRow

SECRET = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5LTE="
STATUS = {
    "script": "acme-pool-1",
    "generation": 7,
    "fleet_uid": "uid-1",
    "code": "c0de",
    "bindings": 2,
    "bindings_hash": "ff",
    "new_field": True,
}
ROW = DirectoryRow(
    tenant_id="org_1",
    shard="acme-pool-1",
    binding="DB_01J0000000000000000000000A",
    database_uuid="uuid-1",
    state="active",
    schema_version="0001_init.sql",
    version=3,
)
CALLS: dict[str, Callable[[RouterClient], Any]] = {
    "status": lambda r: r.status("acme-pool-1"),
    "tenants.upsert": lambda r: r.upsert([ROW]),
    "tenants.get": lambda r: r.get(["org_1"]),
    "tenants.list": lambda r: r.list("org_0", 2),
    "owners": lambda r: r.owners(["uuid-1"]),
    "probe": lambda r: r.probe("org_1"),
    "migrate": lambda r: r.migrate("acme-pool-1", "DB_X", "d1_migrations", [("1.sql", ["S"])]),
    "inspect": lambda r: r.inspect("acme-pool-1", ["DB_X"], "d1_migrations"),
    "read": lambda r: r.read("acme-pool-1", "DB_X", ["SELECT 1"]),
}
every_call = pytest.mark.parametrize("op", CALLS)


class Router:
    """Answer with what was laid ready, the last for ever, and keep the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    def will(self, *answers: httpx.Response | Exception | dict[str, Any]) -> None:
        self.answers = [httpx.Response(200, json=a) if isinstance(a, dict) else a for a in answers]


def refusal(status: int, name: str, message: str = "why", **more: Any) -> httpx.Response:
    error = {"name": name, "message": message, "retryable": status >= 500, **more}
    return httpx.Response(status, json={"error": error}, headers={"cf-ray": "8ray-AMS"})


def client_of(router: Router, secret: str = SECRET) -> RouterClient:
    return RouterClient(
        httpx.Client(transport=httpx.MockTransport(router)),
        url="https://acme-pool.x.workers.dev/",
        script="acme-pool",
        fleet_uid="uid-1",
        secret=lambda: secret,
        clock=lambda: datetime.now(UTC),
    )
