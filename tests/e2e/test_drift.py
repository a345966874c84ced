"""What others did to a running fleet is found in one pass, told of once on each channel, mended."""

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import cloudflare
import pytest
from standardwebhooks import Webhook as Judge

from local.stack import Stack
from shared.domain.database import Database
from shared.domain.names import database_name, directory_name
from tests.support.receiver import Receiver
from tests.support.running import Running, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

ROOT = Path(__file__).parents[2]
TENANTS = tuple(f"org_{number:02}" for number in range(12))
FLEET = "drift"
POOL = 3
KEY = "R" * 32
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STRANGER = "01J0000000000000000000000A"
HELLO = 'export default { fetch() { return new Response("Hello World!") } }'
LOOK_AGAIN = 0.05

Told = Counter[tuple[str, str]]
"""How often was told that a finding, by its fingerprint, is `firing` or `resolved`."""


class Drift(NamedTuple):
    """A finding as far as the vandal can know it."""

    kind: str
    tenant_id: str | None
    database_name: str | None


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Running]:
    """Run a stack with all channels and twelve tenants on two shards, each with a note."""
    settings = {
        "FLEET": FLEET,
        "POOL_TARGET": str(POOL),
        "SHARD_CAPACITY": "10",
        "API_LIMIT": "100000",
        "PUBLISH_SETTLE": "PT1S",
        "ALERT_SLACK_URL": receiver.url("/slack"),
        "ALERT_PAGERDUTY_KEY": KEY,
        "ALERT_PAGERDUTY_URL": receiver.url("/pagerduty"),
        "ALERT_WEBHOOK_URL": receiver.url("/webhook"),
        "ALERT_WEBHOOK_SECRET": SECRET,
        "ALERT_ALLOW_PRIVATE": "true",
    }
    with Stack(tmp_path_factory.mktemp("drift"), settings) as stack:
        made = Running(stack)
        for tenant in TENANTS:
            made.sign_up(tenant)
        for tenant in TENANTS:
            made.wait_active(tenant)
            made.write_note(tenant, f"of {tenant}")
        made.wait_full(POOL)
        wait_until("all is published", lambda: all(is_live(made, s) for s in shards(made)))
        yield made
        made.close()


@pytest.fixture
def sdk(running: Running) -> Iterator[cloudflare.Cloudflare]:
    """Open the official SDK on the stack."""
    where = running.description["cloudflare"]
    with cloudflare.Cloudflare(api_token=where["api_token"], base_url=where["base_url"]) as made:
        yield made


def shards(running: Running) -> list[str]:
    return [room.script for room in running.shards()]


def is_live(running: Running, script: str) -> bool:
    """Say whether nothing of a shard is under way."""
    worker = running.worker(script)
    live = worker.generation == worker.published_generation == worker.live_generation
    return live and not worker.unfinished


def databases_on(running: Running) -> tuple[dict[str, Database], str, str]:
    """Return the tenants' databases, the shard that has most of them, and the other one."""
    found = {
        each: running.database(record.database_ulid)
        for each in TENANTS
        if (record := running.tenant(each)) is not None
    }
    (most, _), *_ = Counter(str(each.shard) for each in found.values()).most_common()
    (other,) = set(shards(running)) - {most}
    return found, most, other


def change_bindings(
    running: Running, sdk: cloudflare.Cloudflare, shard: str, without: str, wrong: dict[str, Any]
) -> None:
    """Take one binding from a shard, and let another lead to another database."""
    account = str(running.description["cloudflare"]["account_id"])
    settings = sdk.workers.scripts.script_and_version_settings
    names = {str(each["name"]) for each in running.api("GET", settings_of(shard))["bindings"]}
    kept: list[Any] = [
        {"type": "inherit", "name": name} for name in names - {without, wrong["name"]}
    ]
    settings.edit(shard, account_id=account, settings={"bindings": [*kept, wrong]})


def settings_of(script: str) -> str:
    return f"/workers/scripts/{script}/settings"


def deploy_over(running: Running, script: str, folder: Path) -> None:
    """Run `wrangler deploy` in a project that has a pool Worker's name."""
    where = running.description["cloudflare"]
    (folder / "i.js").write_text(HELLO)
    project = {"name": script, "main": "i.js", "compatibility_date": "2026-04-01"}
    (folder / "wrangler.json").write_text(json.dumps(project))
    done = subprocess.run(
        [str(ROOT / "node_modules" / ".bin" / "wrangler"), "deploy"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CLOUDFLARE_API_BASE_URL": where["base_url"],
            "CLOUDFLARE_API_TOKEN": where["api_token"],
            "CLOUDFLARE_ACCOUNT_ID": where["account_id"],
            "WRANGLER_SEND_METRICS": "false",
            "WRANGLER_LOG_PATH": str(folder / "logs"),
            "CI": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def watched(running: Running, tenants: list[str]) -> Iterator[Counter[int]]:
    """Ask for the notes of tenants over and over; give how often each status came back."""
    seen: Counter[int] = Counter()
    ended = threading.Event()

    def ask() -> None:
        for tenant in cycle(tenants):
            seen[running.http.get(running.notes_url(tenant)).status_code] += 1
            if ended.wait(LOOK_AGAIN):
                return

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def drift_of(finding: dict[str, Any]) -> Drift:
    return Drift(*(finding[name] for name in Drift._fields))


def still_open(report: dict[str, Any]) -> set[Drift]:
    """Return what a report says is left."""
    found = [drift_of(each) for each in report["findings"] if each["state"] == "open"]
    assert report["left"] == len(found)
    return set(found)


def told(receiver: Receiver) -> dict[str, Told]:
    """Return what each channel was told; every webhook must bear a right signature."""
    judge = Judge(SECRET)
    seen: dict[str, Told] = {"slack": Counter(), "pagerduty": Counter(), "webhook": Counter()}
    for posted in receiver.at("/slack"):
        text = json.loads(posted.body)["text"]
        state = text.split("]")[0].removeprefix("[").lower()
        seen["slack"][state, text[-33:-1]] += 1
    for posted in receiver.at("/pagerduty"):
        event = json.loads(posted.body)
        assert event["routing_key"] == KEY
        state = {"trigger": "firing", "resolve": "resolved"}[event["event_action"]]
        seen["pagerduty"][state, event["dedup_key"].split("/")[1]] += 1
    for posted in receiver.at("/webhook"):
        data = judge.verify(posted.body, dict(posted.headers))["data"]
        seen["webhook"][data["status"], data["key"]] += 1
    return seen


def test_what_others_did_is_found_mended_and_told_of_once(
    running: Running, receiver: Receiver, sdk: cloudflare.Cloudflare, tmp_path: Path
) -> None:
    """One pass finds what was made and no more, mends what harms nobody; the next is silent."""
    account = str(running.description["cloudflare"]["account_id"])
    names = {each.name: str(each.uuid) for each in sdk.d1.database.list(account_id=account)}
    of, shard, other = databases_on(running)
    here = [tenant for tenant in TENANTS if of[tenant].shard == shard]
    unbound, misled, lost, misrouted, *innocent = here
    pooled = running.pool()[0]
    stranger = database_name(FLEET, STRANGER)
    gone = Drift("database_missing", lost, of[lost].name)
    gone_from_pool = Drift("database_missing", None, pooled.name)
    nobodys = Drift("database_orphan", None, stranger)
    made = {
        *(gone, gone_from_pool, nobodys),
        Drift("binding_missing", unbound, of[unbound].name),
        Drift("binding_wrong", misled, of[misled].name),
        Drift("directory_stale", misrouted, None),
        Drift("worker_overwritten", None, None),
    }
    assert receiver.posted == []

    with watched(running, innocent) as statuses:
        wrong = {"type": "d1", "name": str(of[misled].binding), "id": of[innocent[0]].database_id}
        change_bindings(running, sdk, shard, str(of[unbound].binding), wrong)
        sdk.d1.database.delete(str(of[lost].database_id), account_id=account)
        sdk.d1.database.delete(str(pooled.database_id), account_id=account)
        orphan = sdk.d1.database.create(account_id=account, name=stranger)
        list(
            sdk.d1.database.query(
                names[directory_name(FLEET)],
                account_id=account,
                sql=f"UPDATE tenant SET state = 'suspended' WHERE tenant_id = '{misrouted}'",
            )
        )
        deploy_over(running, other, tmp_path)
        running.control("settle", {"seconds": 30.0})
        first = running.cli("reconcile", status=2)
        second = running.cli("reconcile", status=2)

    assert {drift_of(each) for each in first["findings"]} == made
    assert len(first["findings"]) == len(made)
    assert [note for note in first["notes"] if other not in note] == [], "all was compared"
    # A binding that answered would be a witness against the pass, and that of an overwritten Worker
    # can't be heard: then not the pass but the upload sets aside what the pool lost.
    left = {gone, nobodys}
    unheard = {gone_from_pool} if pooled.shard == other else set()
    assert still_open(first) == left | unheard
    assert still_open(second) == left == {drift_of(each) for each in second["findings"]}

    resolved = {each["fingerprint"] for each in first["findings"] if drift_of(each) not in left}
    once = Counter(("firing", each["fingerprint"]) for each in first["findings"])
    once += Counter(("resolved", fingerprint) for fingerprint in resolved)
    assert told(receiver) == {"slack": once, "pagerduty": once, "webhook": once}

    assert set(statuses) == {200}
    assert sdk.d1.database.get(str(orphan.uuid), account_id=account).name == stranger
    for tenant in set(TENANTS) - {lost}:
        assert running.notes(tenant) == [f"of {tenant}"]
    failed = running.tenant(lost)
    assert failed is not None
    assert (failed.status, failed.database_ulid) == ("failed", of[lost].ulid)
    assert len(running.pool()) == POOL
    assert pooled.ulid not in {each.ulid for each in running.pool()}
