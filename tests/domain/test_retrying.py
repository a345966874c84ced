"""What an operator's retry does to a tenant, by what it is and what stopped it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.domain.database import Database, DatabaseStatus
from shared.domain.retrying import (
    GoOnLeaving,
    PutBack,
    RefuseRetry,
    StayAsItIs,
    TryAgain,
    plan_retry,
)
from shared.domain.tenant import Tenant, TenantStatus

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TIMES = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
S, D = TenantStatus, DatabaseStatus


def tenant(status: TenantStatus, **more: Any) -> Tenant:
    data = {"tenant_id": "org_1", "status": status, "class": "weur", "database_ulid": "U"}
    return Tenant.model_validate(data | TIMES | more)


def database(status: DatabaseStatus = D.QUARANTINED, **more: Any) -> Database:
    data = {"ulid": "U", "name": "t-u", "status": status, "class": "weur", "shard": "t-pool-1"}
    return Database.model_validate(data | TIMES | {"owner": "org_1"} | more)


@pytest.mark.parametrize("status", sorted(set(S) - {S.FAILED, S.CLOSING}))
def test_who_did_not_stop_stays_as_it_is(status: TenantStatus) -> None:
    """Whatever became of its database: that is no operator's retry to decide."""
    assert plan_retry(tenant(status), database(), None) == StayAsItIs()


@pytest.mark.parametrize("status", sorted(set(D) - {D.QUARANTINED}))
def test_a_failed_tenant_tries_again(status: DatabaseStatus) -> None:
    """With its database, or without one; a restore that was refused brings it none."""
    assert plan_retry(tenant(S.FAILED), database(status), None) == TryAgain()
    without = tenant(S.FAILED, database_ulid=None)
    assert plan_retry(without, None, database(status)) == TryAgain()
    assert plan_retry(without, None, None) == TryAgain()


@pytest.mark.parametrize("status", [D.BINDING, D.MIGRATING, D.REBINDING])
def test_what_stopped_on_its_way_goes_on_with_it(status: DatabaseStatus) -> None:
    """The tenant's own database, or the one that brings its backup."""
    stopped = database(retry_as=status)
    assert plan_retry(tenant(S.FAILED), stopped, None) == TryAgain(stopped)
    waits = tenant(S.FAILED, database_ulid=None)
    assert plan_retry(waits, None, stopped) == TryAgain(stopped)


def test_what_was_set_aside_while_it_was_in_use_is_put_back() -> None:
    """Only the database that the tenant has: of another nobody knows what is in it."""
    assert plan_retry(tenant(S.FAILED), database(), None) == PutBack(database())
    waits = tenant(S.FAILED, database_ulid=None)
    assert plan_retry(waits, None, database()) == TryAgain()
    assert plan_retry(tenant(S.FAILED), None, database()) == TryAgain()
    leaving = database(retry_as=D.UNBINDING)
    assert plan_retry(tenant(S.FAILED), leaving, None) == TryAgain()


def test_a_closing_goes_on_where_it_stopped() -> None:
    """Without a backup, if that is the word, from where none is needed; else a person decides."""
    for status in (D.EXPORTING, D.UNBINDING, D.DELETING):
        assert plan_retry(tenant(S.CLOSING), database(status), None) == StayAsItIs()
    assert plan_retry(tenant(S.CLOSING, database_ulid=None), None, None) == StayAsItIs()
    stopped = database(retry_as=D.EXPORTING)
    assert plan_retry(tenant(S.CLOSING), stopped, None) == GoOnLeaving(stopped, D.EXPORTING)
    unsaved = tenant(S.CLOSING, without_backup=True)
    assert plan_retry(unsaved, database(), None) == GoOnLeaving(database(), D.UNBINDING)
    refused = plan_retry(tenant(S.CLOSING), database(reason="it is gone"), None)
    assert refused == RefuseRetry("the database t-u stopped for good: it is gone")
