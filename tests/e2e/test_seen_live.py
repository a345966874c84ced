"""Seen live means seen: while the running shard is behind, nothing is called ready."""

import pytest

from tests.support.running import Running, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

PATCH = "PATCH /accounts/{a}/workers/scripts/{n}/settings"
ASKED = "the running Worker is older"


def test_a_database_is_not_ready_before_the_running_shard_serves_it(quick: Running) -> None:
    """Published and read back is not enough: held on its old generation, the shard keeps it."""
    (shard,) = (room.script for room in quick.shards())
    known = {database.ulid for database in quick.pool()}
    quick.control("hold", {"script": shard, "hold": True})
    published = quick.stats()["calls"].get(PATCH, 0)
    asked = quick.log("bind").count(ASKED)

    quick.sign_up("org_held")
    quick.wait_active("org_held")  # its own database was live before
    wait_until("the publish", lambda: quick.stats()["calls"].get(PATCH, 0) > published)
    wait_until("four questions", lambda: quick.log("bind").count(ASKED) >= asked + 4)
    (new,) = quick.pool("binding")
    assert new.ulid not in known
    worker = quick.worker(shard)
    assert worker.published_generation > worker.live_generation
    listed = {each["name"] for each in quick.api("GET", settings_of(shard))["bindings"]}
    assert new.binding in listed
    assert {database.ulid for database in quick.pool()} < known

    quick.control("hold", {"script": shard, "hold": False})
    wait_until("it is ready", lambda: new.ulid in {each.ulid for each in quick.pool()})
    worker = quick.worker(shard)
    assert worker.published_generation == worker.live_generation


def settings_of(script: str) -> str:
    return f"/workers/scripts/{script}/settings"
