"""The interleavings that break simpler protocols, each run exactly so; the rule is named first."""

from datetime import timedelta

import pytest

from shared.domain.backup import BackupStatus
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.tenant import TenantStatus
from shared.errors import Conflict
from shared.router.errors import OwnerConflict
from shared.router.models import DirectoryRow
from shared.settings import Settings
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.tear_down import TearDown
from shared.usecases.worker_code import WorkerCode
from tests.support.events import CREATED_AT, signup
from tests.usecases.leaving import Prover, close, database_of, gone, live, on_d1, row_of, tenant_of
from tests.usecases.test_signup_path import accept, status
from tests.usecases.world import World

S, D = TenantStatus, DatabaseStatus


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 0})


@pytest.fixture
def world(world: World) -> World:
    world.long_work["backup"] = Prover(world)
    return world


def test_owned_is_for_ever(world: World) -> None:
    """Rule 1: a teardown taken back while somebody else waits: the database stays its owner's."""
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    accept(world).signup(signup("org_waits"), body_sha256="x", trace="t")
    OperateTenant(world.control).resume("org_a", trace="t")
    world.run(lambda: status(world, "org_waits") is S.ACTIVE)
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    assert tenant_of(world, "org_a").database_id == tenant.database_id
    assert tenant_of(world, "org_waits").database_id != tenant.database_id
    # The directory is an independent witness: it refuses a second owner whatever the table says.
    stolen = DirectoryRow(
        tenant_id="org_waits",
        shard=tenant.shard,
        binding=tenant.binding,
        database_uuid=tenant.database_id,
        state="active",
        schema_version="",
        version=10_000,
    )
    with pytest.raises(OwnerConflict):
        world.outside.router().upsert([stolen])


def test_a_resume_between_reading_and_passing_wins(world: World) -> None:
    """Rule 2: who read a closing tenant and is overtaken by its resume can't pass the point."""
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    slot_gone = lambda: (  # noqa: E731 - said once
        (slot := world.control.state.slot(tenant.shard or "", tenant.database_ulid or ""))
        is not None
        and slot.gone
    )
    world.run(slot_gone)
    overtaken = tenant_of(world, "org_a")
    OperateTenant(world.control).resume("org_a", trace="t")
    with pytest.raises(Conflict, match="tenant is as it was read"):
        TearDown(world.control, world.outside)(overtaken, "t")
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    assert database_of(world, tenant).status is D.CLAIMED
    assert on_d1(world, database_of(world, tenant))


def test_a_resume_that_comes_after_the_point_reads_again_and_restores(world: World) -> None:
    """Rule 2: the resume that loses the race finds the point passed and asks for the backup."""
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: tenant_of(world, "org_a").past_no_return)
    back = OperateTenant(world.control).resume("org_a", trace="t")
    assert (back.status, back.database_ulid) == (S.PENDING, None)
    assert back.final_backup_id is not None
    proof = world.control.state.backup(back.final_backup_id)
    assert proof is not None
    assert proof.status is BackupStatus.PROVEN
    assert proof.database_ulid == tenant.database_ulid


def test_a_late_write_through_a_stale_cache_is_in_the_backup(world: World) -> None:
    """Rule 3: written after the proof and before the binding was gone: backed up once more."""
    tenant = live(world, "org_a")
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    first = tenant_of(world, "org_a")
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    d1.query(tenant.database_id or "", "INSERT INTO notes (text) VALUES ('late')")
    late = d1.bookmark(tenant.database_id or "")
    gone(world, "org_a")
    final = world.control.state.backup(tenant_of(world, "org_a").final_backup_id or "")
    assert final is not None
    assert final.bookmark == late
    assert final.closing_id == first.closing_id


def test_an_older_route_that_arrives_late_changes_nothing(world: World) -> None:
    """Rule 4: the directory moves forward only: a late suspension cuts nobody off who is back."""
    live(world, "org_a")
    suspended = OperateTenant(world.control).suspend("org_a", trace="t")
    OperateTenant(world.control).resume("org_a", trace="t")
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    late = DirectoryRow(
        tenant_id="org_a",
        shard=suspended.shard,
        binding=suspended.binding,
        database_uuid=suspended.database_id,
        state="suspended",
        schema_version=suspended.schema_version,
        version=suspended.version,
    )
    [standing] = world.outside.router().upsert([late])
    assert (standing.applied, standing.state) == (False, "active")
    assert row_of(world, "org_a") == "active"


def test_a_publish_that_left_a_database_out_is_not_the_last_when_it_stays(world: World) -> None:
    """Rules 1 and 6: the publisher reads, the tenant comes back, the publish lands: bound again."""
    tenant = live(world, "org_a")
    database = database_of(world, tenant)
    close(world, "org_a")
    world.run(lambda: database_of(world, tenant).status is D.UNBINDING)
    commit = world.control.state.commit
    turned: list[bool] = []

    def resumed_meanwhile(*changes: object, **more: object) -> None:
        """Let the tenant come back right before the publisher writes its next generation down."""
        if not turned:
            turned.append(True)
            OperateTenant(world.control).resume("org_a", trace="t")
            world.deliver("work", Message(kind="tenant", id="org_a", trace="t"))
        commit(*changes, **more)  # type: ignore[arg-type] # passed on as they came

    object.__setattr__(world.control.state, "commit", resumed_meanwhile)
    publish = PublishWorker(world.control, world.outside, WorkerCode())
    publish(Message(kind="shard", id=database.shard, trace="t"))
    object.__setattr__(world.control.state, "commit", commit)
    world.run(lambda: status(world, "org_a") is S.ACTIVE)
    world.run()
    assert database_of(world, tenant).status is D.CLAIMED
    assert world.outside.router().probe("org_a").database_uuid == tenant.database_id


def test_a_creation_of_an_earlier_life_opens_no_episode(world: World) -> None:
    """Rule 12: a `created` that is delivered after the deletion it precedes changes nothing."""
    live(world, "org_a")
    gone_at = CREATED_AT + timedelta(days=2)
    removed = signup("org_a", event_id="d", verb="tenant.removed", occurred_at=gone_at)
    accept(world).signup(removed, body_sha256="d", trace="t")
    close(world, "org_a")
    gone(world, "org_a")
    late = signup("org_a", event_id="l", occurred_at=CREATED_AT + timedelta(days=1))
    assert accept(world).signup(late, body_sha256="l", trace="t").status == "ignored"
    assert tenant_of(world, "org_a").status is S.CLOSED
    newer = signup("org_a", event_id="n", occurred_at=CREATED_AT + timedelta(days=3))
    accept(world).signup(newer, body_sha256="n", trace="t")
    assert tenant_of(world, "org_a").episode == 2
