"""What somebody else put on a shard stays as it was, and a write that comes too late is mended."""

import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cloudflare
import psutil
import pytest

from local.stack import Stack
from shared.aws.items import Change
from shared.domain.worker import Worker
from shared.errors import Conflict
from tests.support.running import Running, wait_until
from tests.support.stacks import give_back_after, waiting

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

SHARD_SOURCES = Path(__file__).parents[2] / "worker" / "src" / "shard"
PATCH = "PATCH /accounts/{a}/workers/scripts/{n}/settings"
PUBLISHES = 50
LATE = 10
SECRET = "a secret of somebody else"

# The shard as it is, with a door of its own that uses what is bound beside the pool's databases.
PROBE = """
import Shard from "./index.js";
export default class extends Shard {
  async fetch() {
    const { FOREIGN_SECRET, FOREIGN_TEXT, FOREIGN_DB, FOREIGN_APP, D1FLEET_GENERATION } = this.env;
    const { results } = await FOREIGN_DB.prepare("SELECT word FROM words").all();
    const app = await FOREIGN_APP.fetch("https://app.test/");
    return Response.json({
      secret: FOREIGN_SECRET,
      text: FOREIGN_TEXT,
      words: results.map((row) => row.word),
      app: app.status,
      generation: Number(D1FLEET_GENERATION),
    });
  }
}
"""


@pytest.fixture
def sdk(quick: Running) -> Iterator[cloudflare.Cloudflare]:
    """Open the official SDK on the stack."""
    where = quick.description["cloudflare"]
    with cloudflare.Cloudflare(api_token=where["api_token"], base_url=where["base_url"]) as made:
        yield made


def put_foreign_things(quick: Running, sdk: cloudflare.Cloudflare, shard: str) -> None:
    """Do what another tool might: bind a database, a service, a text and a secret, and use them."""
    account = str(quick.description["cloudflare"]["account_id"])
    made = sdk.d1.database.create(
        account_id=account, name="of-somebody-else", primary_location_hint="weur"
    )
    assert made.uuid is not None
    sql = "CREATE TABLE words (word TEXT); INSERT INTO words VALUES ('foreign')"
    list(sdk.d1.database.query(made.uuid, account_id=account, sql=sql))
    seen = quick.api("GET", f"/workers/scripts/{shard}/settings")["bindings"]
    kept: list[Any] = [{"type": "inherit", "name": binding["name"]} for binding in seen]
    foreign: list[Any] = [
        {"type": "d1", "name": "FOREIGN_DB", "id": made.uuid},
        {"type": "plain_text", "name": "FOREIGN_TEXT", "text": "ä text, byte for byte \u2028"},
        {"type": "service", "name": "FOREIGN_APP", "service": "app"},
    ]
    settings = sdk.workers.scripts.script_and_version_settings
    settings.edit(shard, account_id=account, settings={"bindings": kept + foreign})
    sdk.workers.scripts.secrets.update(
        shard, account_id=account, name="FOREIGN_SECRET", text=SECRET, type="secret_text"
    )
    files = {path.name: path.read_bytes() for path in sorted(SHARD_SOURCES.glob("*.js"))}
    sdk.workers.scripts.content.update(
        shard,
        account_id=account,
        metadata={"main_module": "probe.js"},
        files=[
            (name, source, "application/javascript+module")
            for name, source in {**files, "probe.js": PROBE.encode()}.items()
        ],
    )
    sdk.workers.scripts.subdomain.create(
        shard, account_id=account, enabled=True, previews_enabled=False
    )


def foreign_of(quick: Running, shard: str) -> list[dict[str, Any]]:
    seen = quick.api("GET", f"/workers/scripts/{shard}/settings")["bindings"]
    return [binding for binding in seen if binding["name"].startswith("FOREIGN_")]


def publish_again(quick: Running, shard: str) -> None:
    """Mark a shard as the sweep does and wake its publisher; return when it was published."""

    def marked() -> Worker | None:
        worker = quick.worker(shard)
        after = worker.changed(datetime.now(UTC), published_hash="")
        try:
            quick.state.commit(Change(worker, after))
        except Conflict:
            return None
        return worker

    before = wait_until("the mark", marked).published_generation
    quick.wake(shard)
    wait_until("one more", lambda: quick.worker(shard).published_generation > before)


def test_foreign_bindings_and_secrets_survive_fifty_publishes(
    quick: Running, sdk: cloudflare.Cloudflare
) -> None:
    """After fifty publishes they are byte for byte what they were, and work in workerd."""
    (shard,) = (room.script for room in quick.shards())
    put_foreign_things(quick, sdk, shard)
    url = f"{quick.description['cloudflare']['workers_url']}/{shard}/"

    def called() -> dict[str, Any] | None:
        answer = quick.http.get(url)
        return dict(answer.json()) if answer.status_code == 200 else None

    first = wait_until("the shard's own door", called)
    settings = foreign_of(quick, shard)
    assert len(settings) == 4
    patches = quick.stats()["calls"][PATCH]
    quick.sign_up("org_among_foreigners")  # and a real one among them
    for _ in range(PUBLISHES):
        publish_again(quick, shard)
    assert quick.stats()["calls"][PATCH] >= patches + PUBLISHES
    generation = quick.worker(shard).published_generation
    assert generation >= first["generation"] + PUBLISHES

    last = wait_until(
        "the last generation runs",
        lambda: found if (found := called()) and found["generation"] >= generation else None,
    )
    expected = {
        "secret": SECRET,
        "text": "ä text, byte for byte \u2028",
        "words": ["foreign"],
        "app": 200,
    }
    assert {name: last[name] for name in expected} == expected
    assert foreign_of(quick, shard) == settings
    quick.wait_active("org_among_foreigners")
    assert quick.notes("org_among_foreigners") == []


def test_a_write_that_commits_late_is_noticed_and_mended(
    quick: Running, quick_stack: Stack
) -> None:
    """A dead process' publish commits over later ones; the sweep sees it and publishes anew."""
    (shard,) = (room.script for room in quick.shards())
    route = [{"route": PATCH, "nth": 1, "do": "delay", "seconds": LATE}]
    give_back_after(quick, 3, names=["bind"])
    # A message that was received before comes back as late as it would have then.
    bind = quick.description["aws"]["queues"]["bind"]
    wait_until("nothing is being published", lambda: not waiting(quick.aws("sqs"), bind))
    patches = quick.stats()["calls"][PATCH]
    quick.control("faults", route)
    quick.sign_up("org_before_zombie")
    wait_until("its refill publishes", lambda: quick.stats()["calls"][PATCH] > patches)
    zombie = quick.worker(shard).generation
    for pid in binders(quick_stack):
        os.kill(pid, signal.SIGKILL)
        wait_until("it is dead", lambda pid=pid: not psutil.pid_exists(pid))  # type: ignore[misc]

    # What died is published anew, and one database more after it: the zombie knows neither.
    quick.sign_up("org_after_zombie")
    quick.wait_full()
    later = quick.worker(shard)
    assert later.published_generation > zombie
    assert served(quick, shard) == later.published_generation
    newest = max(quick.pool(), key=lambda database: database.ulid)
    wait_until("the late write", lambda: served(quick, shard) == zombie, within=LATE + 20)
    assert newest.binding not in names(quick, shard)

    quick.control("settle", {"seconds": 30.0})
    report = quick.cli("reconcile", "--sweep")
    assert report["overwritten"] == [shard]
    wait_until("it is mended", lambda: newest.binding in names(quick, shard))
    assert served(quick, shard) > later.published_generation
    wait_until("seen live", lambda: is_settled(quick, shard))
    for number in range(3):
        quick.sign_up(f"org_mended_{number}")
    for number in range(3):
        quick.wait_active(f"org_mended_{number}")
        assert quick.notes(f"org_mended_{number}") == []


def binders(stack: Stack) -> list[int]:
    (name,) = (name for name in stack.service.counts() if "Bind" in name)
    return stack.service.pids(name)


def names(quick: Running, shard: str) -> set[str]:
    seen = quick.api("GET", f"/workers/scripts/{shard}/settings")["bindings"]
    return {binding["name"] for binding in seen}


def served(quick: Running, shard: str) -> int:
    """Return the generation that was committed last."""
    seen = quick.api("GET", f"/workers/scripts/{shard}/settings")["bindings"]
    (text,) = (each["text"] for each in seen if each["name"] == "D1FLEET_GENERATION")
    return int(text)


def is_settled(quick: Running, shard: str) -> bool:
    worker = quick.worker(shard)
    return worker.generation == worker.published_generation == worker.live_generation
