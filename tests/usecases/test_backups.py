"""Backups: proven from what lies in the bucket, or refused with a reason and one alert."""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest

from shared.domain.backup import Backup, BackupStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.dumps import differences, digest_of, load_sql
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
