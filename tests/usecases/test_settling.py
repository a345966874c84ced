"""What counts as mended, of what a pass repaired: looked up where it is, not where it is named."""

from datetime import timedelta
from typing import Any

from shared.aws.items import Change
from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.work import TeardownOverdue, deletion_overdue, tenant_at_rest
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.looking import Looking
from shared.usecases.settle_repairs import look_again
from tests.usecases.world import World

D, S = DatabaseStatus, TenantStatus
ULID = "01JDCB6M5V5P6Z5N1QG3Y00001"


def times(world: World) -> dict[str, Any]:
    began = world.clock() - timedelta(days=1)
    return {"created_at": began, "updated_at": began, "status_since": began}


def put(world: World, status: DatabaseStatus) -> Database:
    """Write the record of a database of org_a's."""
    database = Database(
        ulid=ULID,
        name=f"t-{ULID.lower()}",
        status=status,
        class_="weur",
        shard="t-pool-1",
        database_id="uuid",
        owner="org_a",
        **times(world),
    )
    world.control.state.commit(Change(None, database))
    return database


def tenant_is(world: World, status: TenantStatus, **more: Any) -> Tenant:
    tenant = Tenant(tenant_id="org_a", status=status, class_="weur", **times(world), **more)
    world.control.state.commit(Change(None, tenant))
    return tenant


def still(world: World, drift: TeardownOverdue) -> bool:
    looking = Looking(world.control, world.outside, dict, world.clock())
    return [*look_again(looking, [drift])] == [drift]


def test_a_teardown_is_over_when_the_data_is_gone(world: World) -> None:
    """Not when its tenant is closed, or is served from another database than the dropped copy."""
    database = put(world, D.DELETING)
    overdue = deletion_overdue(database, world.clock())
    assert overdue is not None
    tenant = tenant_is(world, S.ACTIVE, database_ulid="01JDCB6M5V5P6Z5N1QG3Y00002")
    assert still(world, overdue)
    gone = tenant.moved(S.CLOSING, world.clock())
    world.control.state.commit(Change(tenant, gone))
    world.control.state.commit(Change(gone, gone.moved(S.CLOSED, world.clock())))
    assert still(world, overdue)
    stopped = database.moved(D.QUARANTINED, world.clock(), retry_as=D.UNBINDING)
    world.control.state.commit(Change(database, stopped))
    assert still(world, overdue)
    again = stopped.moved(D.UNBINDING, world.clock()).moved(D.DELETING, world.clock())
    ended = again.moved(D.DELETED, world.clock(), version=stopped.version + 1)
    world.control.state.commit(Change(stopped, ended))
    assert not still(world, overdue)


def test_a_teardown_is_over_when_the_tenant_stays(world: World) -> None:
    """Its database is bound and its own again: nothing is to be torn down."""
    named = {"database_ulid": ULID, "binding": f"DB_{ULID}"}
    due = world.clock() - timedelta(hours=3)
    tenant = tenant_is(world, S.CLOSING, **named, grace_ends_at=due)
    put(world, D.CLAIMED)
    overdue = tenant_at_rest(tenant, idle=False, now=world.clock())
    assert isinstance(overdue, TeardownOverdue)
    assert still(world, overdue)
    world.control.state.commit(Change(tenant, tenant.moved(S.ACTIVATING, world.clock())))
    assert not still(world, overdue)
