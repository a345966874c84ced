"""Backups when something is in the way: mended by itself, or refused once, with a reason."""

import errno
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw
import boto3
import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.backup import BackupStatus
from shared.domain.tenant import Tenant
from shared.errors import Transient
from shared.settings import Settings
from tests.usecases.leaving import database_of
from tests.usecases.long_work import (
    Bucket,
    api,
    backed_up,
    closing,
    listen,
    wanted_backup,
)
from tests.usecases.world import World

B = BackupStatus
OVER = "the closing that it was for wants no backup any more"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


BASE = "/accounts/{a}/d1/database/{id}"


CALLS = (
    (f"GET {BASE}", 1),
    (f"GET {BASE}/time_travel/bookmark", 1),
    (f"GET {BASE}/time_travel/bookmark", 3),
    (f"POST {BASE}/export", 1),
    (f"POST {BASE}/export", 2),
)
FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "status", "status": 429, "seconds": 2},
    {"do": "status", "status": 500},
    {"do": "lose_answer"},
)
LOST = tuple((call, FAULTS[-1]) for call in CALLS[:2] + CALLS[3:])


def test_whatever_cloudflare_fails_once_the_end_is_a_proof(
    world: World, emulator: Emulator, tenant: Tenant
) -> None:
    """A limit, an error, a lost answer at any call: proven at the end, nobody alerted."""
    alerted = listen(world)
    for (route, nth), fault in (*zip(CALLS, itertools.cycle(FAULTS), strict=False), *LOST):
        script = [{"route": route, "nth": nth, **fault}]
        httpx.post(f"{emulator.control_url}/faults", json=script).raise_for_status()
        backup = backed_up(world, tenant, **closing(world, tenant))
        assert (backup.status, backup.method) == (B.PROVEN, "export"), script
    assert alerted() == []


def test_a_dump_that_does_not_arrive_is_fetched_anew(world: World, tenant: Tenant) -> None:
    """An export whose download fails on the way is made again."""
    failed: list[httpx.Response] = []

    def broken() -> Iterator[bytes]:
        yield b"CREATE TABLE a"
        raise httpx.ReadError("gone")

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if "__r2" not in request.url.path or not left:
            return None
        failed.append(left.pop())
        return failed[-1]

    left = [httpx.Response(403), httpx.Response(500), httpx.Response(200, content=broken())]
    world.executioner.meddle = meddle
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert len(failed) == 3
    assert (backup.status, backup.method) == (B.PROVEN, "export")


def test_an_export_that_is_cancelled_is_begun_anew(world: World, tenant: Tenant) -> None:
    """D1 forgets an export that nobody polled for a while."""
    polls: list[str] = []

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/export") or b"current_bookmark" not in request.content:
            return None
        polls.append(request.url.path)
        if len(polls) > 1:
            return None
        with httpx.HTTPTransport() as transport:  # or the emulator keeps it for 15 s more
            transport.handle_request(request).close()
        gone = {"success": False, "error": "Not currently exporting anything."}
        return httpx.Response(200, json={"success": True, "errors": [], "result": gone})

    world.executioner.meddle = meddle
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert len(polls) == 2
    assert (backup.status, backup.method) == (B.PROVEN, "export")


def test_a_full_disk_stops_there(
    world: World, bucket: Bucket, tenant: Tenant, folder: Path
) -> None:
    """Refused with what to raise, one alert, and the work is cleaned away."""
    alerted = listen(world)
    full = OSError(errno.ENOSPC, "No space left on device")
    for trouble in (full, apsw.FullError("database or disk is full")):
        bucket.trouble = trouble
        backup = backed_up(world, tenant)
        assert backup.status is B.REFUSED
        assert "EphemeralStorage" in (backup.reason or "")
        assert alerted() == ["backup_refused"]
        assert list(folder.iterdir()) == []


def test_a_bucket_that_keeps_no_versions_is_seen_first(
    world: World, tenant: Tenant, stats: Callable[[], dict[str, Any]]
) -> None:
    """What would fail at the end is found before anything is read."""
    boto3.client("s3").put_bucket_versioning(
        Bucket=world.control.settings.bucket_name,
        VersioningConfiguration={"Status": "Suspended"},
    )
    before = stats()["total"]
    backup = backed_up(world, tenant)
    assert backup.status is B.REFUSED
    assert "versioning" in (backup.reason or "")
    assert stats()["total"] == before


def test_a_bucket_that_is_busy_is_waited_for(world: World, bucket: Bucket, tenant: Tenant) -> None:
    """An outage of the bucket passes: proven once it answers, nobody alerted."""
    alerted = listen(world)
    bucket.trouble = Transient("the bucket is busy: SlowDown")
    wanted = wanted_backup(world, tenant)
    world.run(lambda: world.control.state.backup(wanted.backup_id).failures == 3)  # type: ignore[union-attr]
    bucket.trouble = None
    world.run()
    after = world.control.state.backup(wanted.backup_id)
    assert after is not None
    assert after.status is B.PROVEN
    assert alerted() == []


def lose_a_row(pieces: Iterable[bytes]) -> Iterable[bytes]:
    """Return the dump of a database that lacks a row, well-formed and whole."""
    text = b"".join(pieces).decode()
    kept = [line for line in text.splitlines(keepends=True) if not line.startswith("-- end")]
    yield "".join(kept).replace("'it''s'", "'its'").encode()


def cut_short(pieces: Iterable[bytes]) -> Iterable[bytes]:
    body = b"".join(pieces)
    yield body[: len(body) // 2]


def flip_a_byte(pieces: Iterable[bytes]) -> Iterable[bytes]:
    body = bytearray(b"".join(pieces))
    body[len(body) // 2] ^= 1
    yield bytes(body)


def foreign(_: Iterable[bytes]) -> Iterable[bytes]:
    yield b"CREATE TABLE other (a);\n"


def test_a_dump_that_is_not_the_database_is_never_proven(
    world: World, bucket: Bucket, tenant: Tenant
) -> None:
    """However it came to be another's or broken, the proof refuses what lies in the bucket."""
    for tamper in (lose_a_row, cut_short, flip_a_byte, foreign):
        bucket.incoming = tamper
        backup = backed_up(world, tenant, **closing(world, tenant))
        assert backup.status is B.REFUSED, tamper
        assert (backup.key, backup.digest) == ("", "")


def test_a_database_that_is_not_the_recorded_one_is_not_read(world: World, tenant: Tenant) -> None:
    """When D1 has another name under the uuid, or none, nothing is taken for a backup."""
    database = database_of(world, tenant)
    last = "0" if database.name.endswith("x") else "x"
    other = api(world).d1.create(f"{database.name[:-1]}{last}", "weur")
    wrong = database.changed(world.control.now(), database_id=other.uuid)
    world.control.state.commit(Change(database, wrong))
    backup = backed_up(world, tenant)
    assert backup.status is B.REFUSED
    assert other.name in (backup.reason or "")
    api(world).d1.delete(other.uuid)
    assert "somebody deleted it" in (backed_up(world, tenant).reason or "")


def test_a_token_that_lost_its_permission_stops_it(
    world: World, emulator: Emulator, tenant: Tenant
) -> None:
    """Refused with what the token needs, one alert; with a mended one the next is proven."""
    alerted = listen(world)
    order = {"token": emulator.api_token, "groups": ["Account Settings Read"]}
    httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    try:
        backup = backed_up(world, tenant)
    finally:
        order["groups"] = [*order["groups"], "D1 Write", "Workers Scripts Write"]
        httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    assert backup.status is B.REFUSED
    assert "D1 Edit" in (backup.reason or "")
    assert alerted() == ["backup_refused"]
    assert backed_up(world, tenant).status is B.PROVEN


def test_ten_attempts_that_were_cut_off_are_enough(world: World, tenant: Tenant) -> None:
    """A backup that never fits into the function's time is a person's matter."""
    wanted = wanted_backup(world, tenant)
    for _ in range(10):
        begun = world.control.state.begin("BACKUP", wanted.backup_id, None, world.control.now())
        assert begun is not None
    world.run()
    backup = world.control.state.backup(wanted.backup_id)
    assert backup is not None
    assert backup.status is B.REFUSED
    assert "cut off" in (backup.reason or "")
