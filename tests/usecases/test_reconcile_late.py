"""What is late: a publish that nobody sees live, and a teardown that does not end."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.tenant import TenantStatus
from shared.settings import Settings
from shared.usecases.sweep import Sweep
from tests.usecases.drifting import TENANTS, Drifting, a_fleet
from tests.usecases.leaving import Prover, close, database_of, on_d1
from tests.usecases.world import World

pytestmark = pytest.mark.workerd


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"shard_capacity": 4})


@pytest.fixture
def drifting(world: World, emulator: Emulator, tmp_path: Path) -> Iterator[Drifting]:
    world.long_work["backup"] = Prover(world)
    with a_fleet(world, emulator, tmp_path) as drifting:
        yield drifting


def hold(emulator: Emulator, script: str, *, held: bool) -> None:
    """Let a script run what it runs, whatever is deployed; or let it go on."""
    order = {"script": script, "hold": held}
    httpx.post(f"{emulator.control_url}/hold", json=order).raise_for_status()


def test_a_publish_that_does_not_run(drifting: Drifting, emulator: Emulator) -> None:
    """Published long ago and not seen live, it is told of, published anew, and over once it is."""
    world, shard = drifting.world, drifting.of("one").shard
    hold(emulator, shard, held=True)
    worker = world.control.state.worker(shard)
    assert worker is not None
    world.control.state.commit(Change(worker, worker.to_publish(world.clock())))
    world.queues.wake(shard, "t")

    def nobody_saw_it() -> bool:
        now = world.control.state.worker(shard)
        assert now is not None
        return now.published_generation > worker.published_generation and not now.unfinished

    world.run(nobody_saw_it)
    world.queues.heap.clear()
    assert drifting.one_pass() == set(), "it may still be on its way"
    world.clock.pass_(minutes=10)
    assert drifting.one_pass() == {("generation_not_live", None)}
    [finding] = drifting.report["findings"]
    assert (finding["repair"], finding["repaired"]) == ("republish", True)
    assert finding["evidence"]["script"] == shard
    hold(emulator, shard, held=False)
    assert drifting.settled() == {"run": drifting.report["run"], "waiting": 0, "left": 0}
    world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()
    assert drifting.told() == ["firing generation_not_live", "resolved generation_not_live"]
    drifting.serves(*TENANTS)


def test_a_teardown_that_does_not_end(drifting: Drifting) -> None:
    """Lost on its way it is told of, and finished after two passes and a day, with its proofs."""
    world, one = drifting.world, drifting.of("one")
    close(world, "one")
    world.run(lambda: drifting.of("one").routed_status == TenantStatus.CLOSING)
    world.queues.heap.clear()
    world.clock.pass_(hours=1)
    assert drifting.one_pass() == set(), "it has some hours"
    world.clock.pass_(hours=2)
    for _ in range(2):
        assert drifting.one_pass() == {("teardown_overdue", "one")}
        assert (drifting.report["repaired"], world.queues.heap) == (0, [])
        assert on_d1(world, database_of(world, one))
    world.clock.pass_(hours=25)
    assert drifting.one_pass() == {("teardown_overdue", "one")}
    assert drifting.settled()["left"] == 0
    assert drifting.of("one").status is TenantStatus.CLOSED
    assert not on_d1(world, database_of(world, one))
    world.clock.pass_(minutes=10)
    assert drifting.one_pass() == set()
    drifting.serves("two", "three")


@pytest.mark.parametrize(("policy", "told"), [("alert", ["generation_not_live"]), ("off", [])])
def test_the_sweep_mends_no_worker_against_the_policy(
    drifting: Drifting, policy: str, told: list[str]
) -> None:
    """A Worker that may not be mended is told of or not, and stays as somebody left it."""
    account, world = drifting.account, drifting.world
    account.edit(account.router, without="SHARD_1")
    theirs = account.newest(account.router)
    change = {"repair_policy": f"generation_not_live={policy}"}
    settings = world.control.settings.model_copy(update=change)
    world.clock.pass_(minutes=10)
    assert account.emulator.settle()
    report = Sweep(replace(world.control, settings=settings), world.outside)("t")
    assert [sighting.kind for sighting in report.sightings] == told
    assert report.overwritten == []
    world.run()
    assert account.emulator.settle()
    assert account.newest(account.router) == theirs
    assert account.mend().overwritten == [account.router], "it may be by default"
    drifting.serves(*TENANTS)
