"""Backups and restores in the table: found by tenant and status, one attempt at a time."""

from datetime import timedelta
from typing import Any

import pytest

from shared.aws.items import Change, backup_is_proven
from shared.aws.state import State
from shared.domain.backup import Backup, BackupStatus, RestoreStatus
from shared.domain.tenant import TenantStatus
from shared.errors import Conflict

BUSY = timedelta(minutes=16)


def proven(state: State, world: Any, backup: Backup) -> Backup:
    """Store a backup's proof."""
    after = backup.moved(
        BackupStatus.PROVEN, world.later(5), key="k", version_id="v", size=5_000_000_000
    )
    state.commit(Change(backup, after))
    return after


def test_backups_and_restores_come_back_equal(state: State, world: Any) -> None:
    """Every field survives the table; what nobody wrote is None."""
    backup = world.backup(closing_id="c", size=4_999_999_999, keep_until=world.later(1))
    restore = world.restore(replaces="01JDCB6M5V5P6Z5N1QG3Y00001", detached=True)
    world.stored(backup, restore)
    assert state.backup(backup.backup_id) == backup
    assert state.restore(restore.restore_id) == restore
    assert state.backup("nobody") is None
    assert state.restore("nobody") is None
    assert state.slot("f-pool-1", "nobody") is None


def test_backups_of_a_tenant_are_its_own_newest_first(state: State, world: Any) -> None:
    """One query finds a tenant's backups as they now are, and nobody else's."""
    first, second, _ = world.stored(
        world.backup(1), world.backup(2), world.backup(3, tenant_id="org_10")
    )
    after = proven(state, world, first)
    assert state.backups_of("org_1") == [second, after]
    assert state.backups_of("org_2") == []


def test_a_tenants_history_holds_no_backups(state: State, world: Any) -> None:
    """The pointers in a tenant's partition are no lines of its history."""
    tenant, _ = world.stored(world.tenant(), world.backup())
    assert list(state.history(tenant)) == []


def test_only_what_is_on_its_way_wants_attention(state: State, world: Any) -> None:
    """A wanted backup is due when it was asked for, a proven one is settled; restores as well."""
    backup = world.stored(world.backup())
    assert [b.backup_id for b in state.backups(BackupStatus.WANTED)] == [backup.backup_id]
    assert list(state.backups(BackupStatus.WANTED, due_before=world.now)) == []
    proven(state, world, backup)
    assert list(state.backups(BackupStatus.WANTED)) == []
    assert [b.size for b in state.backups(BackupStatus.PROVEN)] == [5_000_000_000]
    assert "unsettled" not in (state.table.get(f"BACKUP#{backup.backup_id}") or {})
    restore = world.stored(world.restore(status=RestoreStatus.IMPORTING))
    due = state.restores(RestoreStatus.IMPORTING, due_before=world.later(1), limit=1)
    assert list(due) == [restore]


def test_a_transaction_stands_on_the_proof(state: State, world: Any) -> None:
    """A write that needs a proven backup goes through only while it is that very proof."""
    backup, tenant = world.stored(world.backup(), world.tenant())
    step = Change(tenant, tenant.moved(TenantStatus.CLOSING, world.now))
    with pytest.raises(Conflict, match="backup is proven"):
        state.commit(step, also=[backup_is_proven(backup)])
    after = proven(state, world, backup)
    erased = after.moved(BackupStatus.ERASED, world.later(6))
    state.commit(step, also=[backup_is_proven(after)])
    state.commit(Change(after, erased))
    with pytest.raises(Conflict, match="backup is proven"):
        state.commit(also=[backup_is_proven(after)])


@pytest.mark.parametrize("token", [None, "t"])
def test_long_work_is_begun_once_at_a_time(state: State, world: Any, token: str | None) -> None:
    """While one attempt is busy no message begins another; when its time is over, one does."""
    backup = world.stored(world.backup())

    def begin(seconds: float) -> bool:
        at = world.later(seconds)
        return state.begin("BACKUP", backup.backup_id, token, at, busy=BUSY) is not None

    assert begin(0)
    assert not begin(1)
    assert not begin(BUSY.total_seconds())
    assert list(state.backups(BackupStatus.WANTED, due_before=world.now + BUSY)) == []
    assert begin(BUSY.total_seconds() + 1)
    found = state.backup(backup.backup_id)
    assert found is not None
    assert found.attempts == 2


def test_whoever_waits_is_no_longer_busy(state: State, world: Any) -> None:
    """After an attempt wrote down that it waits, its next message begins at once."""
    backup = world.stored(world.backup())
    begun = state.begin("BACKUP", backup.backup_id, None, world.now, busy=BUSY)
    assert begun is not None
    token = state.postpone(backup, wake_at=world.later(10), failures=1)
    assert state.begin("BACKUP", backup.backup_id, "stale", world.later(10), busy=BUSY) is None
    assert state.begin("BACKUP", backup.backup_id, token, world.later(10), busy=BUSY) is not None


def test_a_step_ends_an_attempt(state: State, world: Any) -> None:
    """A restore that made a step may be taken on by the next message."""
    restore = world.stored(world.restore())
    assert state.begin("RESTORE", restore.restore_id, None, world.now, busy=BUSY) is not None
    after = restore.moved(RestoreStatus.IMPORTING, world.later(1))
    state.commit(Change(restore, after))
    assert state.begin("RESTORE", restore.restore_id, None, world.later(2), busy=BUSY) is not None
    state.commit(Change(after, after.moved(RestoreStatus.REFUSED, world.later(3))))
    assert state.begin("RESTORE", restore.restore_id, None, world.later(4), busy=BUSY) is None
