"""Claims and events under contention: eight threads, and nobody gets what is another's."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.items import Change, HistoryLine, inbox_key, inbox_put, outbox_put
from shared.aws.state import State
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict, Transient

Race = Callable[[Callable[[int], Any]], list[Any]]


def claim_of(
    tenant: Tenant, database: Database, world: Any, event: str
) -> tuple[list[Change], list[Any]]:
    """Return a signup's transaction: the tenant, a ready database, the event that asked for it."""
    step = tenant.moved(TenantStatus.ACTIVATING, world.now, database_ulid=database.ulid)
    given = database.moved(
        DatabaseStatus.CLAIMED, world.now, tenant_id=tenant.tenant_id, owner=tenant.tenant_id
    )
    line = HistoryLine(world.now, "test", "claimed")
    also = [
        inbox_put(inbox_key("clerk", "live", event), world.now, {"tenant_id": tenant.tenant_id}),
        outbox_put(world.now, "event", "Claimed", {"tenant_id": tenant.tenant_id}),
    ]
    return [Change(None, step, line), Change(database, given, line)], also


def signed_up(state: State, world: Any, tenant_id: str, event: str) -> str:
    """Sign a tenant up as often as it takes; return how it ended."""
    pending = world.tenant(tenant_id)
    while True:
        candidates = state.ready("weur", 5)
        if not candidates:
            return "no database"
        for database in candidates:
            changes, also = claim_of(pending, database, world, event)
            try:
                state.commit(*changes, also=also)
            except Conflict as conflict:
                if conflict.condition.startswith("database"):
                    continue
                return conflict.condition
            except Transient:
                continue
            return "claimed"


@pytest.mark.parametrize("ready", [5, 16, 20])
def test_no_database_is_claimed_twice(state: State, world: Any, race: Race, ready: int) -> None:
    """Sixteen tenants in eight threads: each gets one database of its own while there are any."""
    world.stored(*map(world.database, range(1, ready + 1)))

    def sign_up_two(thread: int) -> list[str]:
        return [signed_up(state, world, f"org_{thread}_{n}", f"evt_{thread}_{n}") for n in range(2)]

    ends = Counter(end for both in race(sign_up_two) for end in both)
    claimed = min(16, ready)
    assert ends == Counter({"claimed": claimed, "no database": 16 - claimed}) - Counter()
    tenants = world.items("TENANT#")
    owners = {item["ulid"]: item["owner"] for item in world.items("DB#") if "owner" in item}
    own = {i["database_ulid"]: i["tenant_id"] for i in tenants if i["sk"] == "META"}
    assert owners == own
    assert len(own) == len(set(own.values())) == claimed
    assert len(world.items("INBOX#")) == len(world.items("OUTBOX")) == claimed
    assert state.count_databases("weur", DatabaseStatus.READY) == ready - claimed
    history = [item for item in tenants if item["sk"].startswith("H#")]
    assert len(history) == claimed


def test_one_event_has_one_effect(state: State, world: Any, race: Race) -> None:
    """Eight deliveries of one event at once claim one database; the others leave nothing."""
    world.stored(*map(world.database, range(1, 9)))
    ends = race(lambda _: signed_up(state, world, "org_1", "evt_1"))
    assert ends.count("claimed") == 1
    assert set(ends) <= {"claimed", "tenant is new", "event is new"}
    assert state.count_databases("weur", DatabaseStatus.CLAIMED) == 1
    assert state.count_databases("weur", DatabaseStatus.READY) == 7
    assert len(world.items("INBOX#")) == 1
    assert len(world.items("OUTBOX")) == 1
    assert len(world.items("TENANT#")) == 2


def test_one_event_of_many_tenants_has_one_effect(state: State, world: Any, race: Race) -> None:
    """The inbox row alone decides: eight tenants named by one event id are one tenant."""
    world.stored(*map(world.database, range(1, 9)))
    ends = race(lambda thread: signed_up(state, world, f"org_{thread}", "evt_1"))
    assert Counter(ends) == {"claimed": 1, "event is new": 7}
    assert state.count_databases("weur", DatabaseStatus.CLAIMED) == 1
    assert len(world.items("TENANT#")) == 2


def test_eight_writers_of_one_record_lose_no_step(state: State, world: Any, race: Race) -> None:
    """Each acknowledged change is in the record: the version counts exactly the successes."""
    world.stored(world.tenant(display_name=""))

    def rename(thread: int) -> int:
        done = 0
        for _ in range(6):
            before = state.tenant("org_1")
            assert before is not None
            name = f"{before.display_name}{thread}"
            try:
                state.commit(Change(before, before.changed(world.now, display_name=name)))
            except (Conflict, Transient):
                continue
            done += 1
        return done

    successes = race(rename)
    after = state.tenant("org_1")
    assert after is not None
    assert after.version == 1 + sum(successes)
    assert Counter(after.display_name) == {
        str(thread): count for thread, count in enumerate(successes) if count
    }


def test_writes_beside_a_lost_transaction_stay(state: State, world: Any, race: Race) -> None:
    """What one thread stored stays stored while another's transactions are cancelled."""
    world.stored(world.tenant("org_taken"))

    def work(thread: int) -> list[str]:
        acknowledged = []
        for number in range(10):
            tenant = world.tenant(f"org_{thread}_{number}")
            if thread % 2:
                with pytest.raises((Conflict, Transient)):
                    state.commit(Change(None, tenant), Change(None, world.tenant("org_taken")))
            else:
                state.commit(Change(None, tenant))
                acknowledged.append(tenant.tenant_id)
        return acknowledged

    acknowledged = {tenant_id for some in race(work) for tenant_id in some}
    stored = {item["tenant_id"] for item in world.items("TENANT#")}
    assert stored == acknowledged | {"org_taken"}
