"""Restores: into a fresh database, its tenant's from birth, equal to the backup or not at all."""

import itertools
from collections.abc import Callable
from typing import Any

import boto3
import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.dumps import differences
from shared.errors import Permanent
from shared.settings import Settings
from shared.usecases.request_restore import request_restore
from tests.dumps import nasty
from tests.usecases.leaving import close, database_of, gone, tenant_of
from tests.usecases.long_work import (
    ROWS,
    Bucket,
    api,
    backed_up,
    content,
    listen,
    restored_for,
)
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

D, R = DatabaseStatus, RestoreStatus


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


def restore_of(world: World, restore: Restore) -> Restore:
    found = world.control.state.restore(restore.restore_id)
    assert found is not None
    return found


def fresh_of(world: World, restore: Restore) -> Database:
    found = world.control.state.database(restore.database_ulid)
    assert found is not None
    return found


def detached(world: World, tenant: Tenant, backup: Backup) -> Restore:
    """Ask for a second database to look at, and let all be done."""
    restore = request_restore(world.control, tenant, backup, trace="t")
    world.run()
    return restore_of(world, restore)


def test_a_closed_tenant_comes_back_with_its_data(world: World, tenant: Tenant) -> None:
    """Closed with a real proof, its database deleted, then restored: served, nothing missing.

    With search indexes, triggers, views, generated columns, blobs, huge integers, long values.
    """
    for statement in ("DROP TABLE notes", *nasty.STATEMENTS):
        api(world).d1.batch(tenant.database_id or "", [(statement, ())])
    before = content(world, database_of(world, tenant))
    close(world, "org_a")
    gone(world, "org_a")
    backup = world.control.state.backup(tenant_of(world, "org_a").final_backup_id or "")
    assert backup is not None
    restore = restored_for(world, "org_a", backup)
    world.run(lambda: status(world, "org_a") is TenantStatus.ACTIVE)
    after = tenant_of(world, "org_a")
    assert after.database_ulid == restore.database_ulid != tenant.database_ulid
    assert restore_of(world, restore).status is R.DONE
    assert differences(before, content(world, database_of(world, after))) == ()
    assert world.outside.router().probe("org_a").binding == after.binding


def test_a_live_tenant_gets_a_second_database_to_look_at(world: World, tenant: Tenant) -> None:
    """Detached: bound to nothing, no slot taken, equal to the backup, and never anybody else's."""
    for statement in ("DROP TABLE notes", *nasty.STATEMENTS):
        api(world).d1.batch(tenant.database_id or "", [(statement, ())])
    backup = backed_up(world, tenant)
    [room] = world.control.pools.shards()
    restore = detached(world, tenant, backup)
    assert (restore.status, restore.reason) == (R.DONE, None)
    fresh = fresh_of(world, restore)
    assert (fresh.status, fresh.owner) == (D.DETACHED, "org_a")
    assert content(world, fresh) == content(world, database_of(world, tenant))
    assert world.control.pools.shards() == [room]
    assert world.control.state.slot(fresh.shard, fresh.ulid) is None
    assert status(world, "org_a") is TenantStatus.ACTIVE


def test_a_detached_database_can_be_backed_up(world: World, tenant: Tenant) -> None:
    """What is bound to nothing is exported: nobody asks it meanwhile."""
    restore = detached(world, tenant, backed_up(world, tenant))
    looked_at = tenant.model_copy(update={"database_ulid": restore.database_ulid})
    again = backed_up(world, looked_at)
    assert (again.status, again.method) == (BackupStatus.PROVEN, "export")


def test_only_proven_backups_of_the_tenant_are_restored(world: World, tenant: Tenant) -> None:
    """Another tenant's backup, or one that proves nothing, is refused before anything is made."""
    backup = backed_up(world, tenant)
    other = tenant.model_copy(update={"tenant_id": "org_b"})
    with pytest.raises(Permanent, match="org_b"):
        request_restore(world.control, other, backup)
    erased = backup.moved(BackupStatus.ERASED, world.control.now())
    with pytest.raises(Permanent):
        request_restore(world.control, tenant, erased)


# Troubles


def tamper(world: World, backup: Backup, how: Callable[[bytes], bytes]) -> None:
    """Change what the bucket holds under a backup's very version, as nobody can on S3."""
    from moto.s3.models import s3_backends  # noqa: PLC0415 - only here is moto looked into

    name = world.control.settings.bucket_name
    backend = s3_backends["123456789012"]["aws"]
    key = backend.get_object(name, backup.key, version_id=backup.version_id)
    assert key is not None
    key.value = how(key.value)


def test_a_damaged_dump_is_never_loaded(world: World, tenant: Tenant) -> None:
    """A byte that flipped in the bucket: refused, alerted once, the fresh database stays empty."""
    alerted = listen(world)
    backup = backed_up(world, tenant)
    for how in (lambda body: body[:-1] + b"X", lambda body: body.replace(b"notes", b"other")):
        tamper(world, backup, how)
        restore = detached(world, tenant, backup)
        assert restore.status is R.REFUSED
        assert "not what was stored" in (restore.reason or "")
        fresh = fresh_of(world, restore)
        assert (fresh.status, fresh.retry_as) == (D.QUARANTINED, D.IMPORTING)
        assert content(world, fresh).tables == ()
    assert alerted() == ["restore_refused", "restore_refused"]


def test_a_backup_that_the_bucket_let_go_of_is_refused(
    world: World, bucket: Bucket, tenant: Tenant
) -> None:
    """Past its retention there is nothing to restore, and the reason says so."""
    backup = backed_up(world, tenant)
    bucket.delete_all("backups/")
    restore = detached(world, tenant, backup)
    assert restore.status is R.REFUSED
    assert "retention" in (restore.reason or "")


def test_another_backups_manifest_is_refused(world: World, tenant: Tenant) -> None:
    """What a restore compares with must be what was proven."""
    first = backed_up(world, tenant)
    api(world).d1.query(tenant.database_id or "", ROWS)
    second = backed_up(world, tenant)
    s3, name = boto3.client("s3"), world.control.settings.bucket_name
    source = {"Bucket": name, "Key": second.key.replace(".sql", ".json")}
    s3.copy_object(Bucket=name, Key=first.key.replace(".sql", ".json"), CopySource=source)
    restore = detached(world, tenant, first)
    assert restore.status is R.REFUSED
    assert "another backup's" in (restore.reason or "")


def test_what_is_not_empty_is_not_imported_into(world: World, tenant: Tenant) -> None:
    """A fresh database in which somebody made something is left alone, for a person to look at."""
    backup = backed_up(world, tenant)
    restore = request_restore(world.control, tenant, backup, trace="t")
    foreign = fresh_of(world, restore)
    made = api(world).d1.create(foreign.name, "weur")
    api(world).d1.query(made.uuid, "CREATE TABLE mine (a)")
    world.run()
    assert restore_of(world, restore).status is R.REFUSED
    assert "table mine is not in the live database" in (restore_of(world, restore).reason or "")


def test_a_full_account_is_refused_and_can_be_asked_again(
    world: World, emulator: Emulator, tenant: Tenant
) -> None:
    """The reason says what to do; after mending it the same restore ends well."""
    alerted = listen(world)
    backup = backed_up(world, tenant)
    limit = {"databases": next(api(world).d1.pages()).total_count}
    httpx.post(f"{emulator.control_url}/limits", json=limit).raise_for_status()
    try:
        restore = detached(world, tenant, backup)
    finally:
        httpx.post(f"{emulator.control_url}/limits", json={"databases": 50_000}).raise_for_status()
    assert restore.status is R.REFUSED
    assert "upgrade the plan" in (restore.reason or "")
    assert fresh_of(world, restore).status is D.QUARANTINED
    assert alerted() == ["restore_refused"]
    again = restore.moved(R.WANTED, world.control.now(), reason=None)
    world.control.state.commit(Change(restore, again))
    world.control.enqueue("restore", restore.restore_id, trace="t")
    world.run()
    assert restore_of(world, restore).status is R.DONE
    assert fresh_of(world, restore).status is D.DETACHED


BASE = "/accounts/{a}/d1/database"
CALLS = (
    (f"POST {BASE}", 1),
    (f"GET {BASE}/{{id}}", 1),
    (f"POST {BASE}/{{id}}/raw", 1),
    (f"POST {BASE}/{{id}}/query", 1),
    (f"POST {BASE}/{{id}}/import", 1),
    (f"POST {BASE}/{{id}}/import", 2),
    (f"POST {BASE}/{{id}}/import", 3),
)
FAULTS: tuple[dict[str, Any], ...] = (
    {"do": "lose_answer"},
    {"do": "status", "status": 500},
    {"do": "status", "status": 429, "seconds": 2},
)


def test_whatever_cloudflare_fails_once_the_end_is_one_equal_database(
    world: World, emulator: Emulator, tenant: Tenant
) -> None:
    """A lost answer, an error, a limit at any call: done, and no second database was made."""
    alerted = listen(world)
    backup = backed_up(world, tenant)
    number = next(api(world).d1.pages()).total_count
    for count, ((route, nth), fault) in enumerate(itertools.product(CALLS, FAULTS), start=1):
        script = [{"route": route, "nth": nth, **fault}]
        httpx.post(f"{emulator.control_url}/faults", json=script).raise_for_status()
        restore = detached(world, tenant, backup)
        assert restore.status is R.DONE, script
        assert next(api(world).d1.pages()).total_count == number + count, script
    assert alerted() == []


@pytest.mark.parametrize("answer", [403, 500, 200])
def test_an_upload_that_does_not_arrive_is_sent_anew(
    world: World, tenant: Tenant, answer: int
) -> None:
    """Storage that fails, or stored something else, is given the dump again."""
    backup = backed_up(world, tenant)
    failed: list[None] = []

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if request.method != "PUT" or failed:
            return None
        failed.append(None)
        return httpx.Response(answer, headers={"etag": '"another"'})

    world.executioner.meddle = meddle
    assert detached(world, tenant, backup).status is R.DONE
    assert failed


def test_an_import_that_d1_refuses_is_judged_by_what_the_database_holds(
    world: World, tenant: Tenant
) -> None:
    """With nothing in it a person must look; with all in it already, the restore goes on."""
    backup = backed_up(world, tenant)
    does: list[bool] = []

    def meddle(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("/import") or b'"ingest"' not in request.content:
            return None
        if does.pop():
            with httpx.HTTPTransport() as transport:
                transport.handle_request(request).close()
        refused = {"success": True, "status": "error", "error": "table notes already exists"}
        return httpx.Response(200, json={"success": True, "errors": [], "result": refused})

    world.executioner.meddle = meddle
    does.append(False)
    restore = detached(world, tenant, backup)
    assert restore.status is R.REFUSED
    assert "already exists" in (restore.reason or "")
    does.append(True)
    assert detached(world, tenant, backup).status is R.DONE
