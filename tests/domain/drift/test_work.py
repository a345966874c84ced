"""When work counts as forgotten: tenants, teardowns, pools, dead letters."""

from datetime import UTC, datetime, timedelta

from shared.domain.database import Database
from shared.domain.drift.repairs import RefillPool, WakeDatabase, WakeTenant
from shared.domain.drift.work import dead_letters, deletion_overdue, pool_low, tenant_at_rest
from shared.domain.finding import Severity
from shared.domain.tenant import Tenant, TenantStatus

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
A = "01J0000000000000000000000A"


def tenant(status: TenantStatus, *, ago: timedelta, **more: object) -> Tenant:
    then = NOW - ago
    fields = {"tenant_id": "org_a", "status": status, "class": "weur"}
    times = {"created_at": then, "updated_at": then, "status_since": then}
    return Tenant.model_validate({**fields, **times, **more})


def test_tenants_that_nobody_moves() -> None:
    """One that should have been woken minutes ago is stuck, unless a person was told to act."""
    two_minutes = tenant(TenantStatus.PENDING, ago=timedelta(minutes=2))
    assert tenant_at_rest(two_minutes, idle=False, now=NOW) is None
    seen = tenant_at_rest(two_minutes, idle=True, now=NOW)
    assert seen is not None
    assert (seen.kind, seen.repair) == ("tenant_stuck", WakeTenant("org_a"))
    waits = tenant(TenantStatus.PENDING, ago=timedelta(hours=1), wake_at=NOW + timedelta(minutes=1))
    assert tenant_at_rest(waits, idle=True, now=NOW) is None
    active = tenant(TenantStatus.ACTIVE, ago=timedelta(days=9))
    assert tenant_at_rest(active, idle=True, now=NOW) is None
    held = tenant(TenantStatus.SUSPENDED, ago=timedelta(hours=1), held_up="RightsMissing: why")
    assert tenant_at_rest(held, idle=True, now=NOW) is None


def test_teardowns_that_do_not_end() -> None:
    """A tenant long past its grace, and a database long being deleted, are overdue."""
    long = timedelta(days=40)
    grace = tenant(TenantStatus.CLOSING, ago=long, grace_ends_at=NOW + timedelta(days=1))
    assert tenant_at_rest(grace, idle=True, now=NOW) is None
    over = tenant(TenantStatus.CLOSING, ago=long, grace_ends_at=NOW - timedelta(hours=3))
    seen = tenant_at_rest(over, idle=False, now=NOW)
    assert seen is not None
    assert (seen.kind, seen.repair) == ("teardown_overdue", WakeTenant("org_a"))
    fields = {"ulid": A, "name": "n", "class": "weur", "shard": "s", "created_at": NOW}
    for status, hours, repair in (
        ("deleting", 3, WakeDatabase(A)),
        ("deleting", 1, None),
        ("ready", 3, None),
    ):
        since = {"updated_at": NOW, "status_since": NOW - timedelta(hours=hours)}
        found = deletion_overdue(
            Database.model_validate({**fields, **since, "status": status}), NOW
        )
        assert (found.repair if found else None) == repair


def test_pools_and_dead_letters() -> None:
    """A pool is low when what it lacks is not being made, or can't be, and was not just taken."""
    assert pool_low("weur", target=3, ready=1, making=2, claimed=0, blocked=None) is None
    assert pool_low("weur", target=3, ready=1, making=1, claimed=1, blocked=None) is None
    low = pool_low("weur", target=3, ready=1, making=1, claimed=0, blocked=None)
    assert low is not None
    assert (low.repair, low.severity) == (RefillPool("weur"), Severity.WARNING)
    full = "the account is full"
    blocked = pool_low("weur", target=3, ready=0, making=3, claimed=3, blocked=full)
    assert blocked is not None
    assert (blocked.severity, "full" in blocked.summary) == (Severity.ERROR, True)
    [letters] = dead_letters({"work": 2, "bind": 0})
    assert (letters.kind, letters.subject, letters.repair) == ("dlq_not_empty", "work", None)
