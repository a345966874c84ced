"""A running stack as its outsiders see it: senders of webhooks, users of the app, operators.

Beside their doors it opens the state table, to look at (never to change) what is written down.
"""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import boto3
import httpx
from svix.webhooks import Webhook

from local.stack import Stack
from shared.aws.pools import Pools, ShardRoom
from shared.aws.queues import Queues
from shared.aws.state import State
from shared.aws.table import Table
from shared.domain.database import Database
from shared.domain.tenant import Tenant
from shared.domain.worker import Worker

__all__ = ["CLOUDFLARE_DOWN", "Running", "clerk_body", "svix_headers", "wait_until"]

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
CLI = Path(sys.executable).parent / "d1fleet"
LONGEST_PAUSE = 0.5
CLOUDFLARE_DOWN = [{"route": "*", "nth": "every", "do": "status", "status": 503}]


def wait_until(what: str, look: Callable[[], T], within: float = 60) -> T:
    """Look again and again until there is something to see; return it, fail after `within` s.

    The longer it takes, the longer the pauses: looking costs the stack as much as working.
    """
    end = time.monotonic() + within
    pause = 0.05
    while True:
        seen = look()
        if seen:
            return seen
        assert time.monotonic() < end, f"waited {within:.0f} s in vain: {what}"
        time.sleep(pause)
        pause = min(LONGEST_PAUSE, pause * 1.25)


def clerk_body(tenant_id: str, type_: str = "organization.created", **data: Any) -> str:
    """Return an event as Clerk writes it."""
    now = int(time.time() * 1000)
    about = {
        "object": "organization",
        "id": tenant_id,
        "name": tenant_id,
        "created_at": now,
        "updated_at": now,
        **data,
    }
    return json.dumps({"type": type_, "object": "event", "timestamp": now, "data": about})


def svix_headers(
    secret: str, body: str, event_id: str, sent_at: datetime | None = None
) -> dict[str, str]:
    """Return the headers of a delivery, signed by the official library."""
    sent_at = sent_at or datetime.now(UTC)
    return {
        "svix-id": event_id,
        "svix-timestamp": str(int(sent_at.timestamp())),
        "svix-signature": Webhook(secret).sign(event_id, sent_at, body),
        "content-type": "application/json",
    }


class Running:
    """Use a stack that runs."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.description: Mapping[str, Any] = stack.description
        aws = self.description["aws"]
        self.session = boto3.Session(
            aws_access_key_id="tests", aws_secret_access_key="tests", region_name=aws["region"]
        )
        dynamodb: Any = self.session.resource("dynamodb", endpoint_url=aws["endpoint_url"])
        self.state = State(Table(dynamodb.meta.client, aws["table"]))
        self.http = httpx.Client(
            timeout=30, trust_env=False, limits=httpx.Limits(max_connections=None)
        )

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def aws(self, service: str) -> Any:
        """Return a client of the stack's AWS."""
        return self.session.client(service, endpoint_url=self.description["aws"]["endpoint_url"])

    # The auth provider

    @property
    def door(self) -> str:
        """Return where Clerk's webhooks enter."""
        return f"{self.description['webhooks_url']}/webhooks/auth/clerk"

    @property
    def secret(self) -> str:
        """Return the secret that Clerk signs with."""
        return str(self.description["secrets"]["auth/clerk"])

    def signed(self, body: str, event_id: str | None = None) -> dict[str, str]:
        """Return a delivery's headers, signed now."""
        return svix_headers(self.secret, body, event_id or f"msg_{uuid.uuid4().hex}")

    def deliver(self, body: str, event_id: str | None = None) -> httpx.Response:
        """Deliver a signed event."""
        return self.http.post(self.door, content=body, headers=self.signed(body, event_id))

    def sign_up(self, tenant_id: str) -> dict[str, Any]:
        """Deliver the event that asks for a tenant; return the door's answer."""
        answer = self.deliver(clerk_body(tenant_id))
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    # The users of the sample app

    def notes_url(self, tenant_id: str) -> str:
        """Return where the sample app shows a tenant's notes."""
        return f"{self.description['app_url']}/t/{tenant_id}/notes"

    def notes(self, tenant_id: str) -> list[str]:
        """Return the texts of a tenant's notes."""
        answer = self.http.get(self.notes_url(tenant_id))
        assert answer.status_code == 200, answer.text
        return [str(note["text"]) for note in answer.json()]

    def write_note(self, tenant_id: str, text: str) -> None:
        """Write a note of a tenant."""
        answer = self.http.post(self.notes_url(tenant_id), json={"text": text})
        assert answer.status_code == 201, answer.text

    # What is written down

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return a tenant's record."""
        return self.state.tenant(tenant_id)

    def wait_active(self, tenant_id: str, within: float = 60) -> Tenant:
        """Return a tenant's record once it is active."""

        def look() -> Tenant | None:
            tenant = self.tenant(tenant_id)
            return tenant if tenant is not None and tenant.status == "active" else None

        return wait_until(f"{tenant_id} is active", look, within)

    def database(self, ulid: str | None) -> Database:
        """Return a database's record, which must be there."""
        assert ulid is not None
        found = self.state.database(ulid)
        assert found is not None
        return found

    def pool(self, status: str = "ready") -> list[Database]:
        """Return the databases of a status."""
        return list(self.state.databases("weur", status))  # type: ignore[arg-type] # a StrEnum

    def wait_full(self, target: int = 3, within: float = 90) -> None:
        """Return when the pool is full."""
        wait_until("the pool is full", lambda: len(self.pool()) >= target, within)

    def shards(self) -> list[ShardRoom]:
        """Return the shards, and how full they are."""
        return Pools(self.state.table).shards()

    def worker(self, script: str) -> Worker:
        """Return the record of a pool Worker, which must be there."""
        found = self.state.worker(script)
        assert found is not None
        return found

    def wake(self, script: str) -> None:
        """Wake the publisher of a pool Worker."""
        queues = self.description["aws"]["queues"]
        to = Queues(self.aws("sqs"), queues["work"], queues["bind"], queues["backup"])
        to.wake(script, "test")

    # Cloudflare

    def control(self, what: str, order: Any) -> None:
        """Give the emulator an order at its control door."""
        url = f"{self.description['cloudflare']['control_url']}/{what}"
        self.http.post(url, json=order).raise_for_status()

    def stats(self) -> dict[str, Any]:
        """Return what the emulator has counted."""
        url = f"{self.description['cloudflare']['control_url']}/stats"
        return dict(self.http.get(url).json())

    def api(self, method: str, path: str, **more: Any) -> Any:
        """Call Cloudflare's API below the account; return the result."""
        cloudflare = self.description["cloudflare"]
        answer = self.http.request(
            method,
            f"{cloudflare['base_url']}/accounts/{cloudflare['account_id']}{path}",
            headers={"authorization": f"Bearer {cloudflare['api_token']}"},
            **more,
        )
        assert answer.is_success, answer.text
        return answer.json()["result"]

    # The operators

    def cli(self, *arguments: str, status: int = 0) -> Any:
        """Run `d1fleet … --json` in the stack's folder; return what it printed."""
        done = subprocess.run(
            [CLI, *arguments, "--json"],
            cwd=self.stack.folder.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def log(self, function: str) -> str:
        """Return the log of a function (`provision`)."""
        return (self.stack.folder / "logs" / f"{function}.log").read_text(encoding="utf-8")
