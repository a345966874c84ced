"""Backups: proven from what lies in the bucket, or refused with a reason and one alert."""

import errno
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw
import boto3
import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.backup import Backup, BackupStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.dumps import differences, digest_of, load_sql
from shared.errors import Transient
from shared.settings import Settings
from shared.usecases.operate_tenant import OperateTenant
from tests.dumps import nasty
from tests.usecases.leaving import database_of
from tests.usecases.long_work import (
    ROWS,
    Bucket,
    api,
    backed_up,
    closing,
    content,
    listen,
    wanted_backup,
)
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

B = BackupStatus
OVER = "the closing that it was for wants no backup any more"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


def stored(bucket: Bucket, backup: Backup, path: Path) -> Path:
    """Load what lies in the bucket into a SQLite file."""
    pieces = bucket.read(backup.key, backup.version_id, sha256=backup.sha256)
    load_sql(pieces, path, limits=True)
    return path


def test_a_live_database_is_backed_up_through_its_binding(
    world: World,
    bucket: Bucket,
    tenant: Tenant,
    stats: Callable[[], dict[str, Any]],
    tmp_path: Path,
) -> None:
    """Without blocking it its content comes over no REST call; what is stored is what it holds."""
    before = stats()["calls"]
    backup = backed_up(world, tenant)
    calls = {route: count - before.get(route, 0) for route, count in stats()["calls"].items()}
    assert (backup.status, backup.method) == (B.PROVEN, "snapshot")
    asked = {route.rpartition("/")[2]: count for route, count in calls.items() if count}
    assert asked == {"{id}": 1, "bookmark": 2}
    path = stored(bucket, backup, tmp_path / "back.sqlite")
    assert differences(content(world, database_of(world, tenant)), digest_of(path)) == ()
    database = database_of(world, tenant)
    assert backup.key.startswith(f"backups/{database.ulid}/{backup.backup_id}")
    assert backup.bookmark == api(world).d1.bookmark(database.database_id or "")
    assert (backup.tables, backup.rows) == (2, 4)
    assert backup.keep_until is not None
    assert backup.proven_at is not None
    assert backup.keep_until - backup.proven_at == timedelta(days=90)


def test_what_lies_in_the_bucket_names_no_tenant(world: World, tenant: Tenant) -> None:
    """Neither keys nor the dump nor what lies beside it hold the tenant's id."""
    backup = backed_up(world, tenant)
    s3, name = boto3.client("s3"), world.control.settings.bucket_name
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=name, Prefix="backups/")["Contents"]]
    assert keys == [backup.key.replace(".sql", ".json"), backup.key]
    bodies = [s3.get_object(Bucket=name, Key=key)["Body"].read() for key in keys]
    assert all(b"org_a" not in body for body in [*bodies, *map(str.encode, keys)])
    manifest = json.loads(bodies[0])
    assert manifest["sha256"] == backup.sha256
    assert manifest["database"] == database_of(world, tenant).name


def test_a_closing_is_backed_up_by_d1s_export(world: World, tenant: Tenant) -> None:
    """Where it may block, the export is used, and compared with a second reading."""
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert (backup.status, backup.method) == (B.PROVEN, "export")
    assert backup.bookmark == api(world).d1.bookmark(tenant.database_id or "")


def test_everything_that_is_hard_comes_back(
    world: World, bucket: Bucket, tenant: Tenant, tmp_path: Path
) -> None:
    """Search indexes, triggers, huge integers, long values: proven, and equal in the bucket."""
    for statement in ("DROP TABLE notes", *nasty.STATEMENTS):
        api(world).d1.batch(tenant.database_id or "", [(statement, ())])
    for more in ({}, closing(world, tenant)):
        backup = backed_up(world, tenant, **more)
        assert (backup.status, backup.reason) == (B.PROVEN, None)
        assert backup.method == "snapshot"
        path = stored(bucket, backup, tmp_path / f"{backup.backup_id}.sqlite")
        assert differences(content(world, database_of(world, tenant)), digest_of(path)) == ()


def test_an_export_that_rounds_is_not_trusted(world: World, tenant: Tenant) -> None:
    """D1's export loses integers above 2^53: the copy is made in pages, and the record says why."""
    huge = "INSERT INTO notes (id, text) VALUES (9007199254740993, 'huge')"
    api(world).d1.query(tenant.database_id or "", huge)
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert backup.status is B.PROVEN
    assert backup.method.startswith("snapshot (D1's export is not what the database holds: ")
    assert "notes" in backup.method


def test_what_no_dump_can_hold_is_refused(world: World, tenant: Tenant) -> None:
    """A contentless search index can't be read: refused clearly, alerted once, tenant woken."""
    alerted = listen(world)
    sql = "CREATE VIRTUAL TABLE bare USING fts5(a, content='')"
    api(world).d1.query(tenant.database_id or "", sql)
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert backup.status is B.REFUSED
    assert "bare" in (backup.reason or "")
    assert alerted() == ["backup_refused"]


# Somebody writes


def write_at_each(
    world: World, tenant: Tenant, what: str, most: int = 1000, sql: str = ROWS
) -> list[None]:
    """Write to the database whenever a request of a kind is sent; return what counts them."""
    count: list[None] = []

    def meddle(request: httpx.Request) -> None:
        if request.url.path.endswith(what) and len(count) < most:
            count.append(None)
            api(world).d1.query(tenant.database_id or "", sql)

    world.executioner.meddle = meddle
    return count


def make_it_large(world: World, tenant: Tenant) -> None:
    """Let the database be too large to be read in one transaction."""
    long = "INSERT INTO notes (text) SELECT hex(zeroblob(500000)) FROM (VALUES (1), (2), (3))"
    for _ in range(2):
        api(world).d1.query(tenant.database_id or "", long)


def test_a_small_database_is_whole_whoever_writes(
    world: World, bucket: Bucket, tenant: Tenant, tmp_path: Path
) -> None:
    """Read in one transaction it is consistent, also while the app writes all the time."""
    write_at_each(world, tenant, "/read")
    backup = backed_up(world, tenant)
    assert (backup.status, backup.bookmark) == (B.PROVEN, "")
    digest = digest_of(stored(bucket, backup, tmp_path / "back.sqlite"))
    (notes,) = [table for table in digest.tables if table.name == "notes"]
    assert notes.rows % 3 == 0


def test_a_large_database_that_is_written_all_the_time_asks_to_block(
    world: World, tenant: Tenant
) -> None:
    """Three tries, then a reason that says what to do; nothing was stored."""
    make_it_large(world, tenant)
    write_at_each(world, tenant, "/bookmark")
    backup = backed_up(world, tenant)
    assert backup.status is B.REFUSED
    assert "--block" in (backup.reason or "")
    name = world.control.settings.bucket_name
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=name, Prefix="backups/")


def test_a_value_that_changes_while_it_is_read_is_no_outage(world: World, tenant: Tenant) -> None:
    """What does not fit together because somebody wrote counts as a try, and ends in a reason."""
    make_it_large(world, tenant)
    longer = "UPDATE notes SET text = text || 'x' WHERE length(text) > 900000"
    write_at_each(world, tenant, "/read", sql=longer)
    backup = backed_up(world, tenant)
    assert backup.status is B.REFUSED
    assert "--block" in (backup.reason or "")


def test_a_large_database_that_is_written_once_is_copied_again(
    world: World, tenant: Tenant
) -> None:
    """The bookmark tells, and the second copy is of a database that stood still."""
    make_it_large(world, tenant)
    write_at_each(world, tenant, "/read", most=1)
    backup = backed_up(world, tenant)
    assert backup.status is B.PROVEN
    assert backup.bookmark == api(world).d1.bookmark(tenant.database_id or "")


def test_a_write_during_a_closing_starts_its_backup_anew(
    world: World, bucket: Bucket, tenant: Tenant, tmp_path: Path
) -> None:
    """Whoever still writes while or after it is copied makes the proof worthless: another comes."""

    def late(pieces: Iterable[bytes]) -> Iterable[bytes]:
        if not count:
            count.append(None)
            api(world).d1.query(tenant.database_id or "", ROWS)
        return pieces

    for number, what in enumerate(("/export", "/read", "stored")):
        count: list[None] = []
        if what == "stored":
            bucket.incoming = late
        else:
            count = write_at_each(world, tenant, what, most=1)
        backup = backed_up(world, tenant, **closing(world, tenant))
        assert len(count) == 1
        assert backup.status is B.PROVEN
        assert backup.bookmark == api(world).d1.bookmark(tenant.database_id or "")
        digest = digest_of(stored(bucket, backup, tmp_path / f"{number}.sqlite"))
        assert differences(content(world, database_of(world, tenant)), digest) == ()


def test_a_closing_that_is_written_to_for_ever_is_a_persons_matter(
    world: World, tenant: Tenant
) -> None:
    """After ten attempts it is refused, once, with who to look for."""
    alerted = listen(world)
    write_at_each(world, tenant, "/bookmark")
    backup = backed_up(world, tenant, **closing(world, tenant))
    assert backup.status is B.REFUSED
    assert "who else has its binding" in (backup.reason or "")
    assert alerted() == ["backup_refused"]


def test_a_closing_that_is_undone_wants_no_backup(
    world: World, tenant: Tenant, stats: Callable[[], dict[str, Any]]
) -> None:
    """Resumed before its backup began, its database is not exported, and nobody is alerted."""
    alerted = listen(world)
    wanted = wanted_backup(world, tenant, **closing(world, tenant))
    OperateTenant(world.control).resume("org_a", trace="t")
    before = stats()["calls"]
    world.run()
    backup = world.control.state.backup(wanted.backup_id)
    assert backup is not None
    assert (backup.status, backup.reason) == (B.REFUSED, OVER)
    assert {route for route, count in stats()["calls"].items() if count > before.get(route, 0)} == (
        set()
    )
    assert status(world, "org_a") is TenantStatus.ACTIVE
    assert alerted() == []


# Troubles

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
    other = api(world).d1.create(f"{database.name[:-1]}x", "weur")
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
