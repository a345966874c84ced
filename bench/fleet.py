"""A fleet on the local stack, as the benchmark uses it: signed signups, the app's answers, counts.

The pool's target is 0: nothing is made that the benchmark did not ask for, so that a cold signup is
really cold, and the calls of a refill are counted apart from those of signups. Who leaves is not
kept waiting for caches.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import httpx
from svix.webhooks import Webhook

from bench.latency import Latency
from local.stack import Stack
from ops.context import Where, find_deployment
from shared.domain.messages import Message
from shared.usecases.context import Control
from shared.usecases.overviews import pool_rows
from shared.usecases.refill_pool import RefillPool

__all__ = ["Fleet", "NeverCame", "run_fleet", "wait_for"]

POLL: Final = 0.01
SIGNUP_PATIENCE: Final = 90.0
REFILL_PATIENCE: Final = 300.0
QUIET: Final = 2.0
"""Seconds without a REST call after which a piece of work is taken to be over."""


class NeverCame(Exception):  # noqa: N818
    """Say what was waited for in vain."""


def wait_for(http: httpx.Client, url: str, *, since: float, patience: float) -> float:
    """Ask until the answer is 200; return the seconds since `since`, a reading of `perf_counter`.

    Raises:
        NeverCame: it was not within `patience` seconds; says what came instead.
    """
    while True:
        answer = http.get(url)
        spent = time.perf_counter() - since
        if answer.status_code == 200:
            return spent
        if spent > patience:
            raise NeverCame(f"{url} answers {answer.status_code} {answer.text[:200]}")
        time.sleep(POLL)


@dataclass(frozen=True)
class Fleet:
    """Hold a running fleet; `control` works as the functions do."""

    http: httpx.Client
    description: dict[str, Any]
    control: Control

    # The emulator

    def calls(self) -> dict[str, int]:
        """Return how many calls each route of Cloudflare's API has had."""
        stats = self.http.get(f"{self._control_url}/stats").raise_for_status().json()
        return dict(stats["calls"])

    def set_latency(self, latency: Latency | None) -> None:
        """Give the API a latency, or take it away."""
        routes = latency.routes() if latency else {}
        self.http.post(f"{self._control_url}/latency", json=routes).raise_for_status()

    def settle(self) -> None:
        """Return when everything that was deployed runs."""
        answer = self.http.post(f"{self._control_url}/settle", json={"seconds": 60.0})
        if not answer.raise_for_status().json()["settled"]:
            raise NeverCame("what was deployed does not run")

    def quiet_calls(self) -> dict[str, int]:
        """Return the counts once there has been no call for a while."""
        seen, since = self.calls(), time.monotonic()
        while time.monotonic() - since < QUIET:
            time.sleep(0.2)
            now = self.calls()
            if now != seen:
                seen, since = now, time.monotonic()
        return seen

    @property
    def _control_url(self) -> str:
        return str(self.description["cloudflare"]["control_url"])

    # The fleet

    def sign_up(self) -> float:
        """Sign a tenant up that was never seen; return the seconds to the first answer of its app.

        Raises:
            NeverCame: the webhook was refused, or the tenant never answered.
        """
        tenant = f"org_{uuid4().hex}"
        begun = time.perf_counter()
        answer = self._send(tenant)
        if answer.status_code != 200:
            raise NeverCame(f"the signup got {answer.status_code} {answer.text[:200]}")
        url = f"{self.description['app_url']}/t/{quote(tenant, safe='')}/notes"
        return wait_for(self.http, url, since=begun, patience=SIGNUP_PATIENCE)

    def _send(self, tenant: str) -> httpx.Response:
        """Send `organization.created` as Clerk does."""
        now = datetime.now(UTC)
        milliseconds = round(now.timestamp() * 1000)
        data = {
            "object": "organization",
            "id": tenant,
            "name": tenant,
            "created_at": milliseconds,
            "updated_at": milliseconds,
        }
        body = json.dumps(
            {
                "type": "organization.created",
                "object": "event",
                "timestamp": milliseconds,
                "data": data,
            }
        )
        message = f"msg_{uuid4().hex}"
        signature = Webhook(self.description["secrets"]["auth/clerk"]).sign(message, now, body)
        return self.http.post(
            f"{self.description['webhooks_url']}/webhooks/auth/clerk",
            content=body,
            headers={
                "content-type": "application/json",
                "svix-id": message,
                "svix-timestamp": str(int(now.timestamp())),
                "svix-signature": signature,
            },
        )

    def ready(self) -> int:
        """Return how many databases of the pool are ready."""
        return sum(row.ready for row in pool_rows(self.control))

    def refill(self, count: int) -> float:
        """Let the pool grow to `count` ready databases; return how many seconds it took.

        The refill is the functions' own; only its target is the benchmark's.
        """
        settings = self.control.settings.model_copy(update={"pool_target": count})
        class_ = settings.default_class
        begun = time.perf_counter()
        refill = RefillPool(replace(self.control, settings=settings))
        refill(Message(kind="pool", id=class_, trace="bench"))
        while (ready := self.ready()) < count:
            if time.perf_counter() - begun > REFILL_PATIENCE:
                raise NeverCame(f"{ready} of {count} databases are ready")
            time.sleep(0.2)
        return time.perf_counter() - begun


@contextmanager
def run_fleet(latency: Latency) -> Iterator[Fleet]:
    """Run a fleet in a folder of its own; the API's latency begins when it stands."""
    with (
        TemporaryDirectory(prefix="d1fleet-bench-") as folder,
        Stack(Path(folder), {"POOL_TARGET": "0", "ACCESS_SETTLE": "PT1S"}) as stack,
        httpx.Client(timeout=60) as http,
    ):
        deployment = find_deployment(Where(), Path(folder))
        fleet = Fleet(http, stack.description, deployment.parts.control)
        fleet.quiet_calls()
        fleet.settle()
        fleet.set_latency(latency)
        yield fleet
