"""Killed after any side effect and delivered again, backups and restores end in the same place."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from local.cloudflare import Emulator
from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.database import DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.dumps import differences
from shared.settings import Settings
from shared.usecases.findings import KeepFindings, resolve_by_hand
from shared.usecases.request_restore import request_restore
from shared.usecases.tell import Tell
from tests.usecases.leaving import database_of, tenant_of
from tests.usecases.long_work import (
    Bucket,
    api,
    backed_up,
    closing,
    content,
    listen,
    restored_for,
    wanted_backup,
)
from tests.usecases.test_killed import names_in_table, names_on_cloudflare
from tests.usecases.world import World

MOST_EFFECTS = 140
T = TypeVar("T")


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


@pytest.fixture(autouse=True)
def _quick_to_cancel(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let D1 forget an export soon that nobody polls: the clock of these tests is not its clock."""
    monkeypatch.setattr(emulator.transfers, "idle", 0.3)


def killed_after_each(world: World, ask: Callable[[], T], see: Callable[[T], None]) -> list[str]:
    """Ask for something and have it done, killed after its 1st, 2nd … side effect; return them all.

    `see` judges how each ended.
    """
    for number in range(1, MOST_EFFECTS):
        asked = ask()
        world.executioner.arm(number)
        world.run(most=2000)  # others look again and again until a killed one comes back
        effects = list(world.executioner.effects)
        world.executioner.arm(None)  # what the test itself asks for is no part of the path
        see(asked)
        if len(effects) < number:
            return effects
    raise AssertionError("there are more side effects than there can be")


@pytest.mark.parametrize("block", [False, True])
def test_a_backup_killed_anywhere_is_proven(
    world: World, bucket: Bucket, tenant: Tenant, folder: Path, block: bool
) -> None:
    """One backup, proven, its very version in the bucket, and no work left behind."""
    more = closing(world, tenant) if block else {}

    def ask() -> Backup:
        return wanted_backup(world, tenant, **more)

    def see(asked: Backup) -> None:
        backup = world.control.state.backup(asked.backup_id)
        assert backup is not None
        assert (backup.status, backup.reason) == (BackupStatus.PROVEN, None)
        pieces = bucket.read(backup.key, backup.version_id, sha256=backup.sha256)
        assert sum(map(len, pieces)) == backup.size
        assert list(folder.iterdir()) == []

    effects = killed_after_each(world, ask, see)
    assert effects.count("s3 put_object") == 2
    assert effects.count("send tenant") == 1
    assert ("POST export" in effects) == block


def test_a_refusal_killed_anywhere_is_told(world: World, tenant: Tenant) -> None:
    """A backup that can't be made ends refused each time, with its one alert sent or waiting."""
    alerted = listen(world)
    sql = "CREATE VIRTUAL TABLE bare USING fts5(a, content='')"
    api(world).d1.query(tenant.database_id or "", sql)
    count = 0

    def see(asked: Backup) -> None:
        nonlocal count
        backup = world.control.state.backup(asked.backup_id)
        assert backup is not None
        assert backup.status is BackupStatus.REFUSED
        tell = Tell(world.control, world.outside.channels())
        tell("t")  # as the sweep does
        count += 1
        assert alerted() == ["backup_refused"]
        # Ended, or the next one would be no news; and later, or it would be one of too many.
        for finding in KeepFindings(world.control).standing():
            resolve_by_hand(world.control, finding.fingerprint)
        world.clock.pass_(minutes=10)
        tell("t")
        assert alerted() == ["backup_refused"]

    killed_after_each(world, lambda: wanted_backup(world, tenant), see)
    assert count > 3


def test_a_restore_killed_anywhere_is_done(world: World, tenant: Tenant) -> None:
    """One equal database a restore, recorded and on D1, and never a second one."""
    backup = backed_up(world, tenant)
    before = content(world, database_of(world, tenant))

    def see(asked: Restore) -> None:
        restore = world.control.state.restore(asked.restore_id)
        database = world.control.state.database(asked.database_ulid)
        assert restore is not None
        assert database is not None
        assert (restore.status, restore.reason) == (RestoreStatus.DONE, None)
        assert database.status is DatabaseStatus.DETACHED
        assert differences(before, content(world, database)) == ()
        assert names_on_cloudflare(world) == names_in_table(world)

    effects = killed_after_each(
        world, lambda: request_restore(world.control, tenant, backup, trace="t"), see
    )
    assert effects.count("POST import") >= 2
    assert effects.count("POST database") == 1


def test_a_restored_database_killed_anywhere_is_its_tenants(world: World, tenant: Tenant) -> None:
    """Killed on the way from its proof to its tenant, the database is bound and served."""
    backup = backed_up(world, tenant)
    before = content(world, database_of(world, tenant))
    asked: list[Restore] = []

    def see(restore: Restore) -> None:
        after = tenant_of(world, "org_a")
        assert (after.status, after.database_ulid) == (TenantStatus.ACTIVE, restore.database_ulid)
        assert differences(before, content(world, database_of(world, after))) == ()
        assert names_on_cloudflare(world) == names_in_table(world)

    def ask() -> Restore:
        restore = restored_for(world, "org_a", backup)
        asked.append(restore)
        world.run(lambda: is_proven(restore))
        return restore

    def is_proven(restore: Restore) -> bool:
        found = world.control.state.restore(restore.restore_id)
        return found is not None and found.status is not RestoreStatus.WANTED

    killed_after_each(world, ask, see)
    assert len(asked) > 5
