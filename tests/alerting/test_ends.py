"""What was alerted of is over when its reason is, and not before: each kind that knows its end."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.items import Change
from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.finding import Severity, Sighting
from shared.domain.lifecycle import Record
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Role, Worker
from shared.domain.worker_watch import Trouble
from shared.usecases.ends import LASTING
from shared.usecases.tell import Tell
from tests.alerting.conftest import NOW, Desk

ULID = "01JDCB6M5V5P6Z5N1QG3Y00001"
SHARD = "t-pool-1"
Still = Callable[[str, str], bool]
TIMES = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}


def tenant(**more: Any) -> Tenant:
    data = {"tenant_id": "org|1", "status": TenantStatus.ACTIVE, "class_": "weur"}
    return Tenant.model_validate(data | TIMES | more)


def database(**more: Any) -> Database:
    data = {
        "ulid": ULID,
        "name": f"t-{ULID.lower()}",
        "status": DatabaseStatus.CLAIMED,
        "class_": "weur",
        "shard": SHARD,
        "owner": "org|1",
    }
    return Database.model_validate(data | TIMES | more)


def backup(number: int, **more: Any) -> Backup:
    data = {
        "backup_id": f"01JDCB6M5V5P6Z5N1QG3B{number:05}",
        "tenant_id": "org|1",
        "status": BackupStatus.REFUSED,
        "because": BackupReason.CLOSING,
        "database_ulid": ULID,
    }
    return Backup.model_validate(data | TIMES | more)


def worker(**more: Any) -> Worker:
    data = {"script": SHARD, "role": Role.SHARD, "number": 1}
    return Worker.model_validate(data | TIMES | more)


def put(desk: Desk, *records: Tenant | Database | Backup | Worker) -> None:
    """Write records as they are, whatever was there; of backups each is new."""
    state = desk.control.state
    for record in records:
        before: Record | None = None
        match record:
            case Tenant():
                before = state.tenant(record.tenant_id)
            case Database():
                before = state.database(record.ulid)
            case Worker():
                before = state.worker(record.script)
            case Backup():
                pass
        version = 1 if before is None else before.version + 1
        state.commit(Change(before, record.model_copy(update={"version": version})))


@pytest.fixture
def still(desk: Desk) -> Still:
    """Whether what was alerted of a subject stands after a sweep."""

    def stands(kind: str, subject: str) -> bool:
        if not any(one.kind == kind for one in desk.keep.standing()):
            seen = [Sighting(kind, subject, Severity.ERROR, "as it was alerted of")]
            desk.keep(seen, compared=(), trace="t")
        desk.wait(minutes=5)
        Tell(desk.control, desk.channels)("t")
        return any(one.kind == kind for one in desk.keep.standing())

    return stands


def test_a_tenant_that_failed_is_over_when_it_is_tried_again(desk: Desk, still: Still) -> None:
    """Until then it stands; one that is erased is over as well."""
    put(desk, tenant(status=TenantStatus.FAILED, reason="no database"))
    assert still("tenant_failed", "org|1")
    put(desk, tenant(status=TenantStatus.PENDING))
    assert not still("tenant_failed", "org|1")
    assert not still("tenant_failed", "org|gone")


def test_a_tenant_that_was_held_up_is_over_when_it_goes_on(desk: Desk, still: Still) -> None:
    """Each reason for itself: held up by another it is another finding."""
    put(desk, tenant(status=TenantStatus.CLOSING, held_up="BadToken: the token is refused"))
    assert still("tenant_held_up", "org|1/BadToken")
    put(desk, tenant(status=TenantStatus.CLOSING, held_up="stopped: it can't be read"))
    assert not still("tenant_held_up", "org|1/BadToken")
    assert still("tenant_held_up", "org|1/stopped")
    put(desk, tenant(status=TenantStatus.CLOSING))
    assert not still("tenant_held_up", "org|1/stopped")


def test_a_database_that_was_held_up_is_over_when_it_goes_on(desk: Desk, still: Still) -> None:
    """Waiting for a token or set aside it stands; with the reason gone it is over."""
    waits = "BadToken: the token is refused"
    put(desk, database(status=DatabaseStatus.MIGRATING, reason=waits))
    assert still("database_held_up", f"{ULID}/BadToken")
    put(desk, database(status=DatabaseStatus.QUARANTINED, reason="no such table"))
    assert still("database_held_up", f"{ULID}/BadToken")
    put(desk, database(status=DatabaseStatus.CLAIMED))
    assert not still("database_held_up", f"{ULID}/BadToken")


def test_a_database_that_was_deleted_after_all_is_over(desk: Desk, still: Still) -> None:
    """What held the deletion up is still written there, and nothing waits for it any more."""
    waits = "BadToken: the token is refused"
    put(desk, database(status=DatabaseStatus.DELETING, reason=waits))
    assert still("database_held_up", f"{ULID}/BadToken")
    put(desk, database(status=DatabaseStatus.DELETED, reason=waits))
    assert not still("database_held_up", f"{ULID}/BadToken")


def test_a_blocked_pool_is_over_when_it_fills(desk: Desk, still: Still) -> None:
    """Each class for itself."""
    desk.control.pools.block("weur", "the migration is wrong", NOW)
    assert still("pool_blocked", "weur")
    desk.control.pools.unblock("weur")
    assert not still("pool_blocked", "weur")


def closing(**more: Any) -> Tenant:
    return tenant(status=TenantStatus.CLOSING, closing_id="c1", database_ulid=ULID, **more)


def test_a_backup_that_was_refused_is_over_when_one_is_proven(desk: Desk, still: Still) -> None:
    """That another is tried ends nothing: it may be refused again."""
    put(desk, closing(), database(status=DatabaseStatus.EXPORTING), backup(1, closing_id="c1"))
    assert still("backup_refused", ULID)
    put(desk, backup(2, closing_id="c1", status=BackupStatus.WANTED))
    assert still("backup_refused", ULID)
    put(desk, backup(3, closing_id="c1", status=BackupStatus.PROVEN))
    assert not still("backup_refused", ULID)


@pytest.mark.parametrize(
    "after",
    [
        tenant(database_ulid=ULID),
        closing(without_backup=True),
        tenant(status=TenantStatus.CLOSING, closing_id="c2", database_ulid=ULID),
        closing(past_no_return=True),
    ],
    ids=["stays after all", "needs none", "closes anew", "is gone"],
)
def test_a_backup_that_nobody_wants_any_more_is_no_trouble(
    desk: Desk, still: Still, after: Tenant
) -> None:
    """The closing that it was for is over: nobody is to be reminded of it for ever."""
    put(desk, closing(), database(status=DatabaseStatus.EXPORTING), backup(1, closing_id="c1"))
    assert still("backup_refused", ULID)
    put(desk, after)
    assert not still("backup_refused", ULID)


def test_a_backup_that_an_operator_asked_for_stands_until_there_is_one(
    desk: Desk, still: Still
) -> None:
    """It belongs to no closing: only a proven one, or the database's end, is its end."""
    put(desk, tenant(database_ulid=ULID), database(), backup(1, because=BackupReason.OPERATOR))
    assert still("backup_refused", ULID)
    put(desk, database(status=DatabaseStatus.DELETED))
    assert not still("backup_refused", ULID)


def test_a_shard_that_was_refused_is_over_when_it_was_published(desk: Desk, still: Still) -> None:
    """Each kind of trouble for itself."""
    put(desk, worker(reason="shard_refused BadToken: the token is refused"))
    assert still("shard_refused", SHARD)
    put(desk, worker())
    assert not still("shard_refused", SHARD)


def test_a_generation_is_live_when_the_running_worker_serves_it(desk: Desk, still: Still) -> None:
    """The publisher waits for it and writes down when it saw it."""
    put(desk, worker(published_generation=4, live_generation=3))
    assert still("generation_not_live", SHARD)
    put(desk, worker(published_generation=4, live_generation=4))
    assert not still("generation_not_live", SHARD)


@pytest.mark.parametrize("trouble", list(Trouble))
def test_what_a_look_at_a_worker_saw_is_over_when_a_later_generation_is_live(
    desk: Desk, still: Still, trouble: Trouble
) -> None:
    """The table says that it is live, and was wrong: it would be told and ended with each sweep."""
    seen = Sighting(
        str(trouble),
        SHARD,
        Severity.WARNING,
        f"{SHARD} is not as it was published",
        evidence={"script": SHARD, "published": 4, "why": "it serves generation 3, not 4"},
    )
    put(desk, worker(published_generation=4, live_generation=4))
    for _ in range(3):
        desk.keep([seen], compared=(), trace="t")
        assert still(str(trouble), SHARD)
    put(desk, worker(published_generation=5, live_generation=4))
    assert still(str(trouble), SHARD)
    assert desk.pager.said == [f"[FIRING] {trouble}"]
    put(desk, worker(published_generation=5, live_generation=5))
    assert not still(str(trouble), SHARD)
    assert desk.pager.said == [f"[FIRING] {trouble}", f"[RESOLVED] {trouble}"]


def test_an_open_breaker_is_over_when_somebody_closed_it(desk: Desk, still: Still) -> None:
    """That its window passed ends nothing."""
    breaker = desk.control.breaker
    desk.control.state.commit(also=[breaker.open(breaker.read(), "too many", NOW)])
    desk.wait(hours=30)
    assert still("breaker_open", "deletes")
    desk.control.state.commit(also=[breaker.reset(breaker.read(), 0, NOW + timedelta(days=2))])
    assert not still("breaker_open", "deletes")


def test_what_nothing_ends_is_no_finding(desk: Desk) -> None:
    """Points in time are told of and forgotten: nobody would ever see their end."""
    assert not LASTING & {
        "billing_parked",
        "billing_status_unknown",
        "mass_closing",
        "restore_refused",
        "webhook_dead_lettered",
    }
