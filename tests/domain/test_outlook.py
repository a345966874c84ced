"""What an operator reads of a tenant: what it is, on whose word, what comes next and when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.domain.backup import Backup, BackupReason, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outlook import Circumstances, Outlook, outlook, size_in_words
from shared.domain.standing import Entitlement, Right
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
TIMES = {"created_at": NOW - 9 * DAY, "updated_at": NOW - DAY, "status_since": NOW - DAY}
S, D, B, R = TenantStatus, DatabaseStatus, BackupStatus, RestoreStatus


def tenant(status: TenantStatus, **more: Any) -> Tenant:
    data = {"tenant_id": "org_1", "class_": "weur", "status": status}
    return Tenant.model_validate(data | TIMES | more)


def database(status: DatabaseStatus, **more: Any) -> Database:
    data = {"ulid": "U", "name": "f-u", "shard": "f-pool-1", "class_": "weur", "status": status}
    return Database.model_validate(data | TIMES | {"owner": "org_1"} | more)


def backup(status: BackupStatus, **more: Any) -> Backup:
    data = {
        "backup_id": "K",
        "tenant_id": "org_1",
        "status": status,
        "because": BackupReason.CLOSING,
        "database_ulid": "U",
        "size": 12_345_678,
        "keep_until": NOW + 90 * DAY,
    }
    return Backup.model_validate(data | TIMES | more)


def restore(status: RestoreStatus, **more: Any) -> Restore:
    data = {"restore_id": "R", "backup_id": "K", "tenant_id": "org_1", "database_ulid": "V"}
    return Restore.model_validate(data | {"status": status} | TIMES | more)


def seen(who: Tenant, **given: Any) -> Outlook:
    return outlook(who, Circumstances(**given))


def closing(**more: Any) -> Tenant:
    return tenant(
        S.CLOSING,
        **{"reason": "the subscription ended", "grace_ends_at": NOW + 30 * DAY, **more},
    )


def test_an_active_tenant_says_what_it_lives_on() -> None:
    """No subscription, a paid one, one that is past due and until when, one that will end."""
    active = tenant(S.ACTIVE, known_at=NOW - 9 * DAY)
    assert seen(active).what == "served, without a subscription"
    assert seen(active).word == "the auth provider's, 2026-11-14 12:00Z"
    paid = Entitlement(Right.ACTIVE, said_at=NOW)
    assert seen(active, entitlement=paid) == Outlook(
        "served, subscribed", "billing's, 2026-11-23 12:00Z"
    )
    ending = seen(active, entitlement=Entitlement(Right.ACTIVE, said_at=NOW, ends_at=NOW + DAY))
    assert (ending.at, ending.stuck) == (NOW + DAY, False)
    assert "closing begins" in ending.next
    late = Entitlement(
        Right.GRACE, said_at=NOW, changes_at=NOW + 2 * DAY, reason="past due since 2026-11-20"
    )
    assert seen(active, entitlement=late) == Outlook(
        "served although past due since 2026-11-20",
        "billing's, 2026-11-23 12:00Z",
        "suspended, if nothing is paid",
        NOW + 2 * DAY,
    )


def test_an_active_tenant_that_is_about_to_be_cut_off_says_so() -> None:
    """Billing's word may be known before the tenant was moved."""
    active = tenant(S.ACTIVE)
    gone = Entitlement(Right.ENDED, said_at=NOW, reason="the subscription ended")
    assert seen(active, entitlement=gone).next == "closing: the subscription ended"
    unpaid = Entitlement(Right.SUSPENDED, said_at=NOW, reason="the subscription is unpaid")
    assert seen(active, entitlement=unpaid).next == "suspended: the subscription is unpaid"
    assert seen(active, require_subscription=True).next == "suspended: no subscription"


def test_whose_word_counts_is_the_one_that_was_weighed() -> None:
    """The operator's until somebody says something newer, then theirs."""
    said = {"operator": OperatorWord.RESUME, "operator_at": NOW}
    active = tenant(S.ACTIVE, **said)
    before = Entitlement(Right.ENDED, said_at=NOW - DAY, reason="ended")
    assert seen(active, entitlement=before) == Outlook(
        "served, on an operator's word", "an operator's, 2026-11-23 12:00Z"
    )
    after = Entitlement(Right.ENDED, said_at=NOW + DAY, reason="ended")
    assert seen(active, entitlement=after).word == "billing's, 2026-11-24 12:00Z"
    removed = closing(removed_at=NOW + DAY, **said)
    assert seen(removed).word == "the auth provider's, 2026-11-24 12:00Z"
    assert seen(tenant(S.ACTIVE)).word == "an operator's, 2026-11-14 12:00Z"


def test_a_tenant_on_its_way_says_what_it_waits_for() -> None:
    """A database, its route, or its backup: and what stopped that, if it was stopped."""
    assert "no database yet" in seen(tenant(S.PENDING)).what
    assert "its proven backup" in seen(tenant(S.PENDING, final_backup_id="K")).next
    assert "route" in seen(tenant(S.ACTIVATING)).what
    for status in R:
        told = seen(tenant(S.PENDING, restore_id="R"), restore=restore(status, reason="full"))
        assert told.what.startswith("backup K comes back into a fresh database")
        assert told.stuck == (status is R.REFUSED)
        assert ("full" in told.what) == told.stuck


def test_a_suspended_tenant_says_why_and_how_it_comes_back() -> None:
    """The reason, that the data stays, and the command."""
    told = seen(tenant(S.SUSPENDED, reason="past due since 2026-11-01"))
    assert told.what == "suspended: past due since 2026-11-01; the data stays"
    assert "`d1fleet tenants resume org_1`" in told.next


@pytest.mark.parametrize("by_pool", [True, False])
def test_a_failed_tenant_needs_a_person(by_pool: bool) -> None:
    """The reason and the command; one that failed for want of databases goes on by itself too."""
    told = seen(tenant(S.FAILED, reason="no room", failed_by_pool=by_pool))
    assert told.what == "failed: no room"
    assert "`d1fleet tenants retry org_1`" in told.next
    assert told.stuck
    assert ("by itself" in told.next) == by_pool


def test_within_the_grace_the_end_is_told() -> None:
    """When the grace ends, and what comes then; without a backup if that was the word."""
    told = seen(closing(), database=database(D.CLAIMED))
    assert told.what == (
        "closing: the subscription ended; access is cut, the data stays until the grace ends"
    )
    assert (told.next, told.at) == ("backup, proof, unbinding, deletion", NOW + 30 * DAY)
    told = seen(closing(without_backup=True), database=database(D.CLAIMED))
    assert told.next == "unbinding and deletion, without a backup"


def test_without_grace_the_caches_are_waited_for() -> None:
    """Nothing begins before nobody can be let in any more, and that is the time that is told."""
    who = closing(grace_ends_at=NOW, access_cut_at=NOW)
    settle = timedelta(minutes=6)
    assert seen(who, database=database(D.CLAIMED), access_settle=settle).at == NOW + settle
    later = closing(grace_ends_at=None, access_cut_at=NOW)
    assert seen(later, database=database(D.CLAIMED), access_settle=settle).at == NOW + settle


@pytest.mark.parametrize(
    ("status", "what", "next_"),
    [
        (D.EXPORTING, "its backup is being made and proven", "unbinding"),
        (D.UNBINDING, "its database is being unbound", "deletion, once the running shard"),
        (D.DELETING, "past the point of no return", "restores the backup"),
        (D.REBINDING, "was on its way back", "once it is bound again"),
        (D.DELETED, "access is cut", "closed"),
        (None, "access is cut", "closed"),
    ],
)
def test_each_step_of_leaving_is_told(status: DatabaseStatus | None, what: str, next_: str) -> None:
    """Where it stands and what follows, from the database's status."""
    told = seen(closing(), database=None if status is None else database(status))
    assert what in told.what
    assert next_ in told.next
    assert not told.stuck


def test_a_proven_backup_is_told_with_its_size() -> None:
    """While it leaves and once it is closed, until when it is kept."""
    proven = backup(B.PROVEN)
    told = seen(closing(), database=database(D.EXPORTING), backup=proven)
    assert "backup K is proven, 12 MB" in told.what
    closed = seen(tenant(S.CLOSED), backup=proven)
    assert closed.what == "closed, its database is deleted; backup K is proven, 12 MB"
    assert "`d1fleet restore org_1`" in closed.next
    assert closed.at == NOW + 90 * DAY
    for gone in (None, backup(B.ERASED)):
        assert seen(tenant(S.CLOSED), backup=gone).what.endswith("there is no backup")


def test_what_lies_aside_of_a_closed_tenant_is_not_called_deleted() -> None:
    """A copy that a restore left holds data of its: a person must say what becomes of it."""
    told = seen(tenant(S.CLOSED), backup=backup(B.PROVEN), aside=("f-copy",))
    assert "data of its in f-copy" in told.what
    assert "--drop f-copy" in told.next
    assert told.stuck


def test_a_backup_on_its_way_beside_the_data_is_told() -> None:
    """Whatever the tenant is meanwhile, and what comes then."""
    under_way = restore(R.WANTED)
    for status in (S.ACTIVE, S.SUSPENDED, S.FAILED):
        told = seen(tenant(status, database_ulid="U", restore_id="R"), restore=under_way)
        assert "is being restored beside its data" in told.what
        assert "takes the place" in told.next


def test_what_is_stopped_needs_a_person() -> None:
    """A quarantined database, and the breaker: the reason and the command, nothing was deleted."""
    stopped = database(D.QUARANTINED, reason="it can't be backed up: table t is empty")
    told = seen(closing(), database=stopped)
    assert "table t is empty; nothing was deleted" in told.what
    assert "`d1fleet tenants retry org_1`" in told.next
    assert told.stuck
    told = seen(closing(), database=database(D.UNBINDING), stopped="100 databases are due")
    assert "100 databases are due" in told.what
    assert "`d1fleet breaker reset`" in told.next
    assert told.stuck


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (2e6, "2 MB"), (5.25e9, "5.2 GB")],
)
def test_sizes_are_said_as_people_say_them(size: float, words: str) -> None:
    """In the largest unit that leaves a whole number in front of it."""
    assert size_in_words(int(size)) == words
