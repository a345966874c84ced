"""What an operator's restore does, by what the tenant is and has."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.backup import Backup, BackupReason, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.restoring import (
    AwaitTenant,
    BringBack,
    CopyBeside,
    IsSwapped,
    IsUnderWay,
    RefuseRestore,
    Replace,
    RestoreAction,
    Resume,
    Swap,
    SwapAction,
    plan_restore,
    plan_swap,
)
from shared.domain.standing import Entitlement, Right, Target, settle, wanted
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
TIMES = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
S, D, B = TenantStatus, DatabaseStatus, BackupStatus


def tenant(status: TenantStatus, **more: Any) -> Tenant:
    data = {"tenant_id": "org_1", "class_": "weur", "status": status, "database_ulid": "U"}
    return Tenant.model_validate(data | TIMES | more)


def database(status: DatabaseStatus = D.CLAIMED) -> Database:
    data = {"ulid": "U", "name": "f-u", "shard": "f-pool-1", "class_": "weur", "owner": "org_1"}
    return Database.model_validate(data | {"status": status} | TIMES)


def backup(backup_id: str, status: BackupStatus = B.PROVEN) -> Backup:
    data = {"backup_id": backup_id, "tenant_id": "org_1", "database_ulid": "U", "status": status}
    return Backup.model_validate(data | {"because": BackupReason.OPERATOR} | TIMES)


K2, K1 = backup("K2"), backup("K1")
RESTORE = Restore.model_validate(
    {"restore_id": "R", "backup_id": "K2", "tenant_id": "org_1", "database_ulid": "F"}
    | TIMES
    | {"created_at": NOW - timedelta(minutes=5), "replaces": "U", "status": RestoreStatus.PROVEN}
)


def planned(who: Tenant, held: Database | None = None, **more: Any) -> RestoreAction:
    given = {"wanted": None, "detached": False, "replace": False, "now": NOW, "under_way": None}
    backups = more.pop("backups", [backup("K3", B.REFUSED), K2, K1])
    return plan_restore(who, held, backups, **{**given, **more})


def reason(action: RestoreAction) -> str:
    assert isinstance(action, RefuseRestore)
    return action.reason


@pytest.mark.parametrize("removed", [None, NOW - timedelta(days=1)])
def test_a_closed_tenant_waits_for_its_newest_proven_backup(removed: datetime | None) -> None:
    """It is pending with nothing of its closing, and all words together want it served."""
    closed = tenant(
        S.CLOSED,
        removed_at=removed,
        grace_ends_at=NOW,
        closing_id="C",
        past_no_return=True,
        final_backup_id="K2",
        access_cut_at=NOW,
    )
    action = planned(closed, database(D.DELETED))
    assert isinstance(action, BringBack)
    assert action.backup == K2
    waiting = action.pending
    assert (waiting.status, waiting.database_ulid, waiting.returning) == (
        S.PENDING,
        None,
        "restored",
    )
    assert (waiting.closing_id, waiting.past_no_return, waiting.access_cut_at) == (
        None,
        False,
        None,
    )
    ended = Entitlement(Right.ENDED, said_at=NOW - timedelta(hours=1), reason="ended")
    assert wanted(waiting, ended, require_subscription=True) == (Target.SERVED, "")
    assert settle(waiting, ended, now=NOW, grace=timedelta(0)) is waiting


def test_a_backup_can_be_named() -> None:
    """It must be this tenant's and proven; otherwise the line says what it is."""
    action = planned(tenant(S.CLOSED), wanted="K1")
    assert isinstance(action, BringBack)
    assert action.backup == K1
    assert "K3 is refused, not proven" in reason(planned(tenant(S.CLOSED), wanted="K3"))
    assert "no backup K9" in reason(planned(tenant(S.CLOSED), wanted="K9"))
    assert "no proven backup" in reason(planned(tenant(S.CLOSED), backups=[]))
    assert "no proven backup" in reason(
        planned(tenant(S.ACTIVE), database(), replace=True, backups=[])
    )


def test_a_backup_that_the_bucket_let_go_of_is_none() -> None:
    """Past its retention it is refused, named or not, and one that is kept is taken instead."""
    expired = K2.model_copy(update={"keep_until": NOW})
    kept = K1.model_copy(update={"keep_until": NOW + timedelta(seconds=1)})
    action = planned(tenant(S.CLOSED), backups=[expired, kept])
    assert isinstance(action, BringBack)
    assert action.backup == kept
    named = planned(tenant(S.CLOSED), wanted="K2", backups=[expired, kept])
    assert "has no backup K2" in reason(named)
    for more in ({"replace": True}, {"detached": True}):
        refused = planned(tenant(S.ACTIVE), database(), backups=[expired], **more)
        assert "has no proven backup" in reason(refused)


def test_the_grace_of_the_closing_that_is_over_is_not_the_next_ones() -> None:
    """A tenant that was closed at once, and came back, has the usual time when it closes again."""
    action = planned(tenant(S.CLOSED, grace=timedelta(0)), database(D.DELETED))
    assert isinstance(action, BringBack)
    assert action.pending.grace is None


@pytest.mark.parametrize("past", [True, False])
def test_a_closing_tenant_is_resumed(past: bool) -> None:
    """Its data is still there, or comes back as proven; a backup in its place is another matter."""
    closing = tenant(S.CLOSING, past_no_return=past)
    assert planned(closing, database()) == Resume()
    assert planned(closing, database(), backups=[]) == Resume()
    assert "tenants resume org_1" in reason(planned(closing, database(), wanted="K1"))
    assert "tenants resume org_1" in reason(planned(closing, database(), replace=True))


@pytest.mark.parametrize("status", list(S))
def test_a_detached_copy_touches_no_tenant(status: TenantStatus) -> None:
    """Whatever the tenant is, the copy goes beside it; only the backup must be proven."""
    assert planned(tenant(status), database(), detached=True) == CopyBeside(K2)
    assert planned(tenant(status), database(), detached=True, wanted="K1") == CopyBeside(K1)
    assert "K3" in reason(planned(tenant(status), database(), detached=True, wanted="K3"))


def test_a_tenant_that_waits_already_is_not_asked_twice() -> None:
    """The restore under way is the answer; without one there is nothing to replace yet."""
    waiting = tenant(S.PENDING, restore_id="R", database_ulid=None)
    assert planned(waiting, under_way=RESTORE) == IsUnderWay("R")
    assert planned(waiting, under_way=RESTORE, wanted="K2") == IsUnderWay("R")
    assert "backup K2 is being restored" in reason(planned(waiting, under_way=RESTORE, wanted="K1"))
    assert planned(tenant(S.PENDING, final_backup_id="K2")) == Resume()
    for status in (S.PENDING, S.ACTIVATING):
        assert "wait until it is active" in reason(planned(tenant(status), replace=True))


@pytest.mark.parametrize("status", [S.ACTIVE, S.SUSPENDED])
def test_what_a_live_tenant_has_is_replaced_only_on_a_word(status: TenantStatus) -> None:
    """Without `replace` it is refused; with it the old database is named, to be put aside."""
    assert "--replace" in reason(planned(tenant(status), database()))
    assert planned(tenant(status), database(), replace=True) == Replace(K2, database())
    asked = tenant(status, restore_id="R", database_ulid=database().ulid)
    assert planned(asked, database(), replace=True, under_way=RESTORE) == IsUnderWay("R")
    returning = planned(tenant(status), database(D.REBINDING), replace=True)
    assert "try again in a minute" in reason(returning)
    lost = planned(tenant(status), database(D.QUARANTINED), replace=True)
    assert isinstance(lost, BringBack)
    assert lost.pending.operator is OperatorWord.RESUME


def test_a_failed_tenant_whose_database_is_gone_gets_a_fresh_one() -> None:
    """One that still has it is retried, or has it replaced on a word."""
    failed = tenant(S.FAILED)
    for held in (None, database(D.QUARANTINED), database(D.DELETED), database(D.DETACHED)):
        action = planned(failed, held)
        assert isinstance(action, BringBack)
    assert "tenants retry org_1" in reason(planned(failed, database()))
    assert planned(failed, database(), replace=True) == Replace(K2, database())


def swapped(who: Tenant, held: Database | None = None) -> SwapAction:
    return plan_swap(who, held or database(), RESTORE, NOW)


@pytest.mark.parametrize("status", [S.ACTIVE, S.SUSPENDED, S.FAILED])
def test_a_proven_backup_takes_the_place_of_what_is_there(status: TenantStatus) -> None:
    """From here on the tenant waits; its words count by when they were said."""
    action = swapped(tenant(status, restore_id="R"))
    assert isinstance(action, Swap)
    assert action.aside is not None
    assert (action.aside.status, action.aside.ulid) == (D.DETACHED, "U")
    assert (action.pending.status, action.pending.database_ulid) == (S.PENDING, None)
    assert (action.pending.restore_id, action.pending.returning) == ("R", "restored")
    assert action.pending.operator_at == NOW - timedelta(minutes=5)
    newer = {"operator": OperatorWord.SUSPEND, "operator_at": NOW - timedelta(minutes=1)}
    action = swapped(tenant(status, restore_id="R", **newer))
    assert isinstance(action, Swap)
    assert action.pending.operator is OperatorWord.SUSPEND


def test_what_a_tenant_has_is_kept_where_a_newer_word_or_work_needs_it() -> None:
    """Leaving, or on its way: nothing is put aside then; nobody waits: nothing is there to do."""
    assert swapped(tenant(S.ACTIVATING, restore_id="R")) == AwaitTenant()
    for status in (S.CLOSING, S.CLOSED):
        refused = swapped(tenant(status, restore_id="R"))
        assert isinstance(refused, RefuseRestore)
        assert f"is {status} by now" in refused.reason
    for returning in (D.EXPORTING, D.UNBINDING, D.REBINDING):
        assert swapped(tenant(S.ACTIVE, restore_id="R"), database(returning)) == AwaitTenant()
    assert swapped(tenant(S.PENDING, restore_id="R", database_ulid=None)) == IsSwapped()
    assert swapped(tenant(S.CLOSING, restore_id="R", past_no_return=True)) == IsSwapped()
    gone = swapped(tenant(S.ACTIVE, restore_id="R"), database(D.QUARANTINED))
    assert isinstance(gone, Swap)
    assert gone.aside is None
