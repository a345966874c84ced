"""Two hundred signups at once, a pool of three, shards of fifty, and an app in use meanwhile."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

import httpx
import pytest

from shared.domain.names import ulid_of_database
from tests.support.running import Running, clerk_body, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

TENANTS = 200
REQUESTS = 1000
SENDERS = 20
WITHIN = 300


class Users:
    """Use one tenant's notes without a break, and count what the app answers."""

    def __init__(self, running: Running, tenant_id: str) -> None:
        self._running = running
        self._tenant_id = tenant_id
        self._enough = threading.Event()
        self.answers: list[int] = []
        self._threads = [threading.Thread(target=self._use, daemon=True) for _ in range(2)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        for thread in self._threads:
            thread.join()

    def _use(self) -> None:
        url = self._running.notes_url(self._tenant_id)
        with httpx.Client(timeout=30, trust_env=False) as client:
            while not self._enough.is_set():
                # So that the test's own requests don't take the processors from what it measures.
                self._enough.wait(0.08)
                try:
                    self.answers.append(client.get(url).status_code)
                except httpx.HTTPError:
                    self.answers.append(0)


def deliver_until_taken(running: Running, tenant_id: str) -> str:
    """Deliver a signup as providers do: the same event again when the answer is a 5xx."""
    body, event_id = clerk_body(tenant_id), f"msg_{tenant_id}"
    for _ in range(5):
        answer = running.deliver(body, event_id)
        if answer.status_code < 500:
            assert answer.status_code == 200, answer.text
            return str(answer.json()["status"])
    raise AssertionError(answer.text)


def count_active(running: Running) -> int:
    key = ("status_key", "tenant#active")
    return running.state.table.count_index("by_status", key, limit=10_000)


def test_two_hundred_signups_at_once(
    running: Running, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """All become active with databases of their own, no request fails, and no call is refused."""
    running.sign_up("org_existing")
    running.wait_active("org_existing")
    running.write_note("org_existing", "was here before")
    running.wait_full()
    running.control("reset", {})
    there = count_active(running)
    names = [f"org_rush_{number}" for number in range(TENANTS)]
    began = time.monotonic()
    with Users(running, "org_existing") as users, ThreadPoolExecutor(SENDERS) as senders:
        taken = list(senders.map(lambda name: deliver_until_taken(running, name), names))
        record_testsuite_property("rush_seconds_to_accept", time.monotonic() - began)
        wait_until("all are active", lambda: count_active(running) >= there + TENANTS, WITHIN)
        record_testsuite_property("rush_seconds_to_active", time.monotonic() - began)
        wait_until("users did enough", lambda: len(users.answers) >= REQUESTS)
    assert set(taken) <= {"accepted", "duplicate"}
    assert set(users.answers) == {200}

    listed = {row["tenant_id"]: row for row in running.cli("tenants", "list")}
    tenants = [listed[name] for name in names]
    assert {tenant["status"] for tenant in tenants} == {"active"}
    assert len({tenant["database_id"] for tenant in tenants}) == TENANTS
    assert len({tenant["binding"] for tenant in tenants}) == TENANTS
    assert len({tenant["shard"] for tenant in tenants}) >= 4
    assert all(room.used <= 50 for room in running.shards())

    with ThreadPoolExecutor(8) as users_of_all:
        list(users_of_all.map(lambda name: running.write_note(name, f"of {name}"), names))
        notes = dict(zip(names, users_of_all.map(running.notes, names), strict=True))
    assert notes == {name: [f"of {name}"] for name in names}
    assert running.notes("org_existing") == ["was here before"]

    running.wait_full()
    stats = running.stats()
    record_testsuite_property("rush_calls", stats["total"])
    assert stats["rate_limited"] == 0
    assert stats["peak_5min"] <= 960
    assert stats["calls"]["POST /accounts/{a}/d1/database"] <= TENANTS + 3
    assert databases_on_cloudflare(running) == databases_in_table(running)


def databases_on_cloudflare(running: Running) -> set[str]:
    found: set[str] = set()
    page = 1
    while listed := running.api("GET", f"/d1/database?per_page=100&page={page}"):
        found |= {each["uuid"] for each in listed if ulid_of_database("local", each["name"])}
        page += 1
    return found


def databases_in_table(running: Running) -> set[str | None]:
    statuses = ("creating", "binding", "migrating", "ready", "claimed", "quarantined")
    return {each.database_id for status in statuses for each in running.pool(status)}
