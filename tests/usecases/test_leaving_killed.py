"""Killed after any side effect of leaving and delivered again, the end is the same."""

import pytest

from shared.domain.backup import BackupStatus, is_proof
from shared.domain.database import DatabaseStatus
from shared.domain.tenant import TenantStatus
from shared.settings import Settings
from shared.usecases.sweep import Sweep
from tests.usecases.killing import Killed
from tests.usecases.leaving import (
    Prover,
    close,
    database_of,
    gone,
    live,
    on_d1,
    tenant_of,
)
from tests.usecases.test_signup_path import status
from tests.usecases.world import World

MOST_EFFECTS = 90


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 0, "max_deletes_per_day": 1000})


@pytest.fixture
def world(world: World) -> World:
    world.long_work["backup"] = Prover(world)
    return world


def leave_killed_at(world: World, tenant_id: str, number: int) -> list[str]:
    """Close a tenant, killed after its n-th side effect; return what was done in all."""
    tenant = live(world, tenant_id)
    world.executioner.arm(number)
    try:
        close(world, tenant_id)
    except Killed:
        close(world, tenant_id)  # the operator saw no answer and says it again
    while status(world, tenant_id) is not TenantStatus.CLOSED:
        before = len(world.executioner.effects)
        gone(world, tenant_id)
        assert len(world.executioner.effects) > before
    effects = list(world.executioner.effects)
    world.executioner.arm(None)
    closed = tenant_of(world, tenant_id)
    database = database_of(world, tenant)
    assert database.status is DatabaseStatus.DELETED
    assert not on_d1(world, database)
    final = world.control.state.backup(closed.final_backup_id or "")
    assert is_proof(final, database_ulid=database.ulid, closing_id=closed.closing_id)
    assert len(list(world.control.state.table.query(f"TENANT#{tenant_id}", prefix="RECEIPT#"))) == 1
    assert world.control.state.slot(database.shard, database.ulid) is None
    return effects


def test_killed_after_each_side_effect(world: World) -> None:
    """Whatever side effect it dies after: gone, proven before, one receipt, its slot free again."""
    done: list[str] = []
    for number in range(1, MOST_EFFECTS):
        effects = leave_killed_at(world, f"org_{number}", number)
        if len(effects) < number:
            done = effects
            break
    assert len(done) >= 12, f"leaving has fewer side effects than it can have: {done}"
    assert [room.used for room in world.control.pools.shards()] == [0]
    # What was killed before it was sent is sent by the next sweep.
    Sweep(world.control, world.outside)("sweep")
    assert list(world.control.outbox.waiting(10)) == []


def test_the_database_is_there_until_its_proof_is(world: World) -> None:
    """Watched after every single side effect: D1 never lacks it while no proof is written down."""
    tenant = live(world, "org_watched")
    database = database_of(world, tenant)
    seen: list[tuple[bool, bool]] = []
    happened = world.executioner.happened

    looking = [False]

    def look(what: str) -> None:
        happened(what)
        if looking[0]:
            return  # the look itself takes a permit, which is a side effect too
        looking[0] = True
        proven = any(
            backup.status is BackupStatus.PROVEN
            for backup in world.control.state.backups_of("org_watched")
        )
        seen.append((on_d1(world, database), proven))
        looking[0] = False

    world.executioner.happened = look  # type: ignore[method-assign] # a witness, not a mock
    close(world, "org_watched")
    gone(world, "org_watched")
    assert (False, True) in seen
    assert (False, False) not in seen
