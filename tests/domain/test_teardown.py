"""Leaving, step by step: nothing passes the point of no return that was not proven."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.teardown import (
    AwaitBackup,
    AwaitBound,
    AwaitDeletion,
    AwaitGone,
    AwaitUntil,
    BeginExport,
    BeginUnbinding,
    CloseEmpty,
    PassNoReturn,
    ReadBookmark,
    RequestBackup,
    StopLeaving,
    TeardownAction,
    plan_teardown,
)
from shared.domain.tenant import Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)
SETTLE = timedelta(minutes=6)
TIMES = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
D, B = DatabaseStatus, BackupStatus


def tenant(**more: Any) -> Tenant:
    data = {
        "tenant_id": "org_1",
        "class_": "weur",
        "status": TenantStatus.CLOSING,
        "database_ulid": "U",
        "closing_id": "C",
        "grace_ends_at": LONG_AGO,
        "access_cut_at": LONG_AGO,
    }
    return Tenant.model_validate(data | TIMES | more)


def database(status: DatabaseStatus, **more: Any) -> Database:
    data = {"ulid": "U", "name": "f-u", "shard": "f-pool-1", "class_": "weur", "status": status}
    return Database.model_validate(data | TIMES | {"owner": "org_1"} | more)


def backup(status: BackupStatus = B.PROVEN, **more: Any) -> Backup:
    data = {
        "backup_id": "K",
        "tenant_id": "org_1",
        "status": status,
        "because": BackupReason.CLOSING,
        "database_ulid": "U",
        "closing_id": "C",
        "bookmark": "b1",
        "proven_at": NOW,
    }
    return Backup.model_validate(data | TIMES | more)


def planned(
    status: DatabaseStatus | None, who: Tenant | None = None, **more: Any
) -> TeardownAction:
    given_ = {"backup": None, "gone": False, "bookmark": None, "access_settle": SETTLE, "now": NOW}
    held = None if status is None else database(status)
    return plan_teardown(who or tenant(), held, **{**given_, **more})


def test_nothing_happens_within_the_grace() -> None:
    """Until the grace is over the database stays as it is, whatever it is."""
    ends = NOW + timedelta(days=1)
    for status in (None, *D):
        assert planned(status, tenant(grace_ends_at=ends)) == AwaitUntil(ends, "the grace period")


@pytest.mark.parametrize("status", sorted(set(D) - {D.DELETED}))
def test_access_is_cut_for_long_enough_before_anything_else(status: DatabaseStatus) -> None:
    """A stale cache may let somebody write: no backup begins before it has expired."""
    action = planned(status, tenant(access_cut_at=NOW))
    assert isinstance(action, AwaitUntil)
    assert action.moment == NOW + SETTLE
    assert isinstance(planned(status, tenant(access_cut_at=None)), AwaitUntil)


def test_the_steps_in_their_order() -> None:
    """Backup, proof, unbind, seen gone, the bookmark once more, and only then the point."""
    assert planned(D.CLAIMED) == BeginExport()
    assert planned(D.EXPORTING) == RequestBackup()
    assert planned(D.EXPORTING, backup=backup(B.WANTED)) == AwaitBackup()
    assert planned(D.EXPORTING, backup=backup()) == BeginUnbinding()
    assert planned(D.UNBINDING, backup=backup()) == AwaitGone()
    assert planned(D.UNBINDING, backup=backup(), gone=True) == ReadBookmark()
    same = {"backup": backup(), "gone": True, "bookmark": "b1"}
    assert planned(D.UNBINDING, **same) == PassNoReturn()
    assert planned(D.DELETING, **same) == AwaitDeletion()
    assert planned(D.DELETED, **same) == CloseEmpty()
    assert planned(None) == CloseEmpty()


def test_who_wrote_after_the_proof_is_backed_up_again() -> None:
    """The bookmark moved: what is stored is not what would be deleted."""
    moved = {"backup": backup(), "gone": True, "bookmark": "b2"}
    assert planned(D.UNBINDING, **moved) == RequestBackup()


def test_an_old_proof_is_none() -> None:
    """A breaker or a shard may stop a closing for longer than the bucket keeps its backup."""
    old = backup(proven_at=LONG_AGO)
    assert planned(D.UNBINDING, backup=old, gone=True, bookmark="b1") == RequestBackup()


def test_a_proof_belongs_to_one_closing() -> None:
    """A backup of an earlier closing proves nothing: the tenant was back and wrote since."""
    old = backup(closing_id="earlier")
    assert planned(D.EXPORTING, backup=old) == RequestBackup()
    assert planned(D.UNBINDING, backup=old, gone=True, bookmark="b1") == RequestBackup()


def test_what_can_not_be_proven_stops() -> None:
    """A refused backup, a database in an unforeseen state: a person looks, nothing goes on."""
    refused = backup(B.REFUSED, reason="contentless table")
    action = planned(D.EXPORTING, backup=refused)
    assert isinstance(action, StopLeaving)
    assert "contentless table" in action.reason
    assert isinstance(planned(D.QUARANTINED), StopLeaving)


def test_an_operators_explicit_word_spares_the_backup_alone() -> None:
    """Without a backup it is still unbound and seen gone first."""
    bold = tenant(without_backup=True)
    assert planned(D.CLAIMED, bold) == BeginExport()
    assert planned(D.EXPORTING, bold) == BeginUnbinding()
    assert planned(D.UNBINDING, bold) == AwaitGone()
    assert planned(D.UNBINDING, bold, gone=True) == PassNoReturn()


def test_a_database_that_was_coming_back_is_waited_for() -> None:
    """Leaving again while it is being bound again waits until that is done."""
    assert planned(D.REBINDING) == AwaitBound()


@given(
    st.none() | st.sampled_from(D),
    st.none() | st.builds(backup, st.sampled_from(B), closing_id=st.sampled_from("CX")),
    st.booleans(),
    st.sampled_from([None, "b1", "b2"]),
    st.booleans(),
    st.integers(-1, 1),
)
def test_the_point_of_no_return_takes_all_of_it(
    status: DatabaseStatus | None,
    proof: Backup | None,
    gone: bool,
    bookmark: str | None,
    without: bool,
    days: int,
) -> None:
    """In every state: passing needs an unbound, gone database and its proof, or the word."""
    who = tenant(without_backup=without, grace_ends_at=NOW + timedelta(days=days))
    action = planned(status, who, backup=proof, gone=gone, bookmark=bookmark)
    assert isinstance(action, get_args(TeardownAction))
    if isinstance(action, PassNoReturn):
        assert (status, gone) == (D.UNBINDING, True)
        assert days <= 0
        if not without:
            assert proof is not None
            assert (proof.status, proof.closing_id, bookmark) == (B.PROVEN, "C", proof.bookmark)
