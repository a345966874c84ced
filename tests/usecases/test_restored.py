"""The way of a restored database from its proof to its tenant, and what may happen meanwhile."""

import pytest

from shared.domain.backup import Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outcomes import Done
from shared.domain.tenant import Tenant, TenantStatus
from shared.settings import Settings
from shared.usecases.operate_restore import OperateRestore
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.owned_databases import aside
from shared.usecases.push_migrations import push_migrations
from shared.usecases.retry_tenant import RetryTenant
from shared.usecases.sweep import Sweep
from tests.support.events import signup
from tests.usecases.conftest import MIGRATIONS
from tests.usecases.leaving import close, gone, live, on_d1, tenant_of
from tests.usecases.long_work import api, backed_up, listen
from tests.usecases.test_signup_path import accept, status
from tests.usecases.world import World

D, S = DatabaseStatus, TenantStatus
UNIQUE = {"0002_unique.sql": b"CREATE UNIQUE INDEX once ON notes (text);"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 1})


@pytest.fixture
def closed(world: World, tenant: Tenant) -> Tenant:
    """A tenant that left with one note twice, as it was; its backup is proven."""
    api(world).d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('ä')")
    close(world, "org_a")
    gone(world, "org_a")
    return tenant


def asked(world: World) -> tuple[Restore, Database]:
    """Ask for the tenant's data back; return the restore and the fresh database."""
    ask = OperateRestore(world.control).restore
    restore = ask("org_a", backup_id=None, detached=False, replace=False, trace="t").restore
    assert restore is not None
    return restore, fresh_of(world, restore)


def fresh_of(world: World, restore: Restore) -> Database:
    found = world.control.state.database(restore.database_ulid)
    assert found is not None
    return found


def swept(world: World) -> None:
    """Let a sweep find what is left, and do what it asks for."""
    world.clock.pass_(minutes=6)
    Sweep(world.control, world.outside)("sweep")
    world.run()


def notes(world: World, tenant: Tenant) -> int:
    sql = "SELECT count(*) AS n FROM notes"
    return int(api(world).d1.query(tenant.database_id or "", sql)[0].results[0]["n"])


def refused_on_its_way(world: World) -> tuple[Restore, Database]:
    """Ask for the data back while a migration waits that this data alone does not take."""
    push_migrations(
        world.outside.migrations,
        MIGRATIONS | UNIQUE,
        pushed_by="test",
        now=world.clock,
        applied=lambda _: frozenset(),
    )
    restore, _ = asked(world)
    world.run(lambda: status(world, "org_a") is S.FAILED)
    world.run()
    return restore, fresh_of(world, restore)


def test_what_was_refused_on_its_way_comes_back_by_a_retry(world: World, closed: Tenant) -> None:
    """The tenant fails with the reason, and its data goes on from where it stopped once mended."""
    alerted = listen(world)
    restore, fresh = refused_on_its_way(world)
    done = world.control.state.restore(restore.restore_id)
    assert done is not None
    assert done.status is RestoreStatus.DONE
    assert (fresh.status, fresh.retry_as, fresh.owner) == (D.QUARANTINED, D.MIGRATING, "org_a")
    failed = tenant_of(world, "org_a")
    assert fresh.name in (failed.reason or "")
    assert "0002_unique.sql" in (failed.reason or "")
    assert failed.restore_id == restore.restore_id
    told = alerted()
    assert (told.count("tenant_failed"), told.count("database_held_up")) == (1, 1)
    api(world).d1.query(fresh.database_id or "", "DELETE FROM notes WHERE id = 4")
    retried = RetryTenant(world.control, world.outside)("org_a", "t")
    assert (retried.status, retried.restore_id) == (S.PENDING, restore.restore_id)
    again = fresh_of(world, restore)
    assert (again.status, again.retry_as, again.reason) == (D.MIGRATING, None, None)
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    back = tenant_of(world, "org_a")
    assert (back.database_ulid, back.restore_id) == (fresh.ulid, None)
    assert back.schema_version == "0002_unique.sql"
    assert notes(world, back) == 3
    assert world.outside.router().probe("org_a").database_uuid == fresh.database_id


def test_data_that_takes_no_migration_stops_nobody_else(world: World, closed: Tenant) -> None:
    """The pool of its class goes on: the file is right for every database but this one."""
    alerted = listen(world)
    _, fresh = refused_on_its_way(world)
    assert fresh.status is D.QUARANTINED
    assert world.control.pools.blocked("weur") is None
    assert "pool_blocked" not in alerted()
    other = live(world, "org_b")
    assert (other.status, other.schema_version) == (S.ACTIVE, "0002_unique.sql")


def test_a_closing_ends_the_wait_for_a_restore(world: World, closed: Tenant) -> None:
    """Closed instead of mended, it waits for nothing; the refused database stays as it is."""
    restore, _ = refused_on_its_way(world)
    close(world, "org_a")
    gone(world, "org_a")
    assert tenant_of(world, "org_a").restore_id is None
    kept = fresh_of(world, restore)
    assert (kept.status, kept.owner, on_d1(world, kept)) == (D.QUARANTINED, "org_a", True)


def heard(world: World, verb: str) -> None:
    """Let the auth provider say something of the tenant, just now."""
    now = world.clock()
    event = signup("org_a", event_id=f"{verb}-{now.isoformat()}", verb=verb, occurred_at=now)
    accept(world).signup(event, body_sha256="x", trace="t")


def test_deleted_and_created_again_meanwhile_it_still_gets_its_data(
    world: World, closed: Tenant
) -> None:
    """The auth provider changes its mind while the data is on its way: no empty database comes."""
    restore, fresh = asked(world)
    world.run(lambda: fresh_of(world, restore).status is not D.IMPORTING)
    heard(world, "tenant.removed")
    assert (status(world, "org_a"), tenant_of(world, "org_a").grace) == (S.CLOSING, None)
    heard(world, "tenant.requested")
    waiting = tenant_of(world, "org_a")
    assert (waiting.status, waiting.restore_id) == (S.PENDING, restore.restore_id)
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    back = tenant_of(world, "org_a")
    assert (back.episode, back.database_ulid) == (closed.episode, fresh.ulid)
    assert notes(world, back) == 4


def test_restored_for_nobody_it_is_kept_until_somebody_comes(world: World, closed: Tenant) -> None:
    """Deleted before its data is there, it is given the data all the same when it comes back."""
    restore, _ = asked(world)
    heard(world, "tenant.removed")
    world.run(lambda: fresh_of(world, restore).status is D.QUARANTINED)
    fresh = fresh_of(world, restore)
    assert "does not wait" in (fresh.reason or "")
    heard(world, "tenant.requested")
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    assert tenant_of(world, "org_a").database_ulid == fresh.ulid


def test_what_it_had_last_comes_back_though_an_older_backup_was_to_replace_it(
    world: World, tenant: Tenant
) -> None:
    """Closed while a replacement is under way, and back too late: its last proof is restored."""
    backed_up(world, tenant)
    api(world).d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('last')")
    at_work = world.long_work["restore"]
    world.long_work["restore"] = lambda _: Done()  # as one whose import takes long
    ask = OperateRestore(world.control).restore
    replacing = ask("org_a", backup_id=None, detached=False, replace=True, trace="t").restore
    assert replacing is not None
    close(world, "org_a")
    world.run(lambda: tenant_of(world, "org_a").past_no_return)
    OperateTenant(world.control).resume("org_a", trace="t")
    world.long_work["restore"] = at_work
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    back = tenant_of(world, "org_a")
    assert back.database_ulid not in {tenant.database_ulid, replacing.database_ulid}
    assert notes(world, back) == 4


def test_a_copy_that_nobody_waits_for_any_more_is_detached(world: World, closed: Tenant) -> None:
    """Not while its tenant may come back; once that is closed it is unbound, kept and listed."""
    restore, fresh = asked(world)
    heard(world, "tenant.removed")
    world.run(lambda: fresh_of(world, restore).status is D.QUARANTINED)
    swept(world)
    waits = fresh_of(world, restore)
    assert (waits.status, waits.retry_as) == (D.QUARANTINED, D.MIGRATING)
    close(world, "org_a")
    gone(world, "org_a")
    swept(world)
    kept = fresh_of(world, restore)
    assert (kept.status, kept.owner, on_d1(world, kept)) == (D.DETACHED, "org_a", True)
    assert "does not wait" in (kept.reason or "")
    slot = world.control.state.slot(fresh.shard, fresh.ulid)
    assert slot is not None
    assert slot.gone
    assert [each.name for each in aside(world.control, tenant_of(world, "org_a"))] == [fresh.name]
    swept(world)
    assert fresh_of(world, restore) == kept
