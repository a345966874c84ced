"""A signed signup with a warm pool: live at once, once, and with Cloudflare's API down."""

import time
import uuid
from collections.abc import Callable

import pytest

from tests.support.running import CLOUDFLARE_DOWN, Running, clerk_body

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


def test_a_signup_is_live_and_the_app_answers(
    running: Running, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """A tenant never seen is given a ready database and becomes active; its notes are its own."""
    ready = {database.ulid for database in running.pool()}
    began = time.monotonic()
    answer = running.sign_up("org_warm")
    assert answer == {"status": "accepted", "tenant_status": "activating"}
    tenant = running.wait_active("org_warm")
    record_testsuite_property("warm_seconds_to_active", time.monotonic() - began)
    assert tenant.database_ulid in ready
    assert tenant.schema_version == "0001_notes.sql"
    assert running.notes("org_warm") == []
    running.write_note("org_warm", "first")
    assert running.notes("org_warm") == ["first"]
    database = running.database(tenant.database_ulid)
    assert (database.status, database.owner) == ("claimed", "org_warm")
    unknown = running.http.get(running.notes_url("org_nobody"))
    assert unknown.status_code == 404


def test_the_same_event_again_changes_nothing(running: Running) -> None:
    """A redelivery is a duplicate: the same database, and not one call to Cloudflare."""
    body, event_id = clerk_body("org_twice"), f"msg_{uuid.uuid4().hex}"
    first = running.deliver(body, event_id)
    assert first.json()["status"] == "accepted"
    before = running.wait_active("org_twice")
    running.wait_full()
    calls = running.stats()["total"]
    for _ in range(2):
        again = running.deliver(body, event_id)
        assert (again.status_code, again.json()) == (
            200,
            {"status": "duplicate", "tenant_status": "active"},
        )
    assert running.tenant("org_twice") == before
    assert running.stats()["total"] == calls
    assert running.cli("tenants", "show", "org_twice")["database_id"] == before.database_id


def test_a_warm_signup_is_live_while_cloudflare_answers_503(running: Running) -> None:
    """Nothing between a warm signup and its live tenant needs Cloudflare's REST API."""
    running.control("faults", CLOUDFLARE_DOWN)
    assert running.sign_up("org_down")["tenant_status"] == "activating"
    running.wait_active("org_down")
    running.write_note("org_down", "written while the API was down")
    assert running.notes("org_down") == ["written while the API was down"]
