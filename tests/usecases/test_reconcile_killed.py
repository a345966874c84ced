"""A pass that is killed: the sweep goes on with it, and the end is the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloudflare import Emulator
from shared.settings import Settings
from shared.usecases.drift_run import RunAnswer, read_run
from shared.usecases.sweep import SweepReport
from tests.usecases.drifting import LONG, Drifting, a_fleet, vandalise, whole
from tests.usecases.killing import Killed
from tests.usecases.world import World

pytestmark = pytest.mark.workerd

MOST_EFFECTS = 200


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"shard_capacity": 4})


@pytest.fixture
def drifting(world: World, emulator: Emulator, tmp_path: Path) -> Iterator[Drifting]:
    with a_fleet(world, emulator, tmp_path) as drifting:
        yield drifting


def sweep(drifting: Drifting) -> list[RunAnswer]:
    """Let the next sweep go on with what is left."""
    drifting.world.clock.pass_(minutes=6)
    return drifting.after_sweep(SweepReport(), "t", lambda: LONG).passes


def test_killed_after_each_of_its_side_effects(drifting: Drifting) -> None:
    """One pass that is killed again and again, once after each, ends as one that never was."""
    vandalise(drifting)
    executioner, runs = drifting.world.executioner, drifting.runs
    steps = ["none"]
    run_id, number = None, 1
    for _ in range(MOST_EFFECTS):
        executioner.arm(number)
        try:
            answer = drifting.reconcile(trace="t", time_left=lambda: LONG, run_id=run_id)
            break
        except Killed:
            run_id = next(runs.unfinished(), run_id)
            step = read_run(runs, run_id).todo[0] if run_id else "none"
            # What was put away is not done again: the next one begins behind it. What was repaired
            # is neither, so that there the next effect is again among the first ones.
            number = number + 1 if steps[-1] == step else 1
            if step == "repair":
                number = 2 + number % 2
            steps.append(step)
        finally:
            executioner.arm(None)
        drifting.world.clock.pass_(minutes=6)
    assert len(set(steps)) >= 12, "a pass is put away less often than it has steps"
    assert steps.count("repair") > 3
    assert (answer.state, answer.repaired) == ("done", 3)
    kinds = sorted(kind for kind, _ in drifting.read(answer))
    assert kinds == ["binding_missing", "database_missing", "directory_stale"]
    assert list(drifting.runs.unfinished()) == []
    drifting.account.sweep()  # which finds the messages that were lost
    assert drifting.settled()["left"] == 0
    assert {finding["state"] for finding in drifting.report["findings"]} == {"resolved"}
    whole(drifting)


def test_killed_passes_that_are_gone_on_with_late(drifting: Drifting) -> None:
    """Killed after any repair and begun anew, with the rest of it done once all is mended."""
    executioner = drifting.world.executioner
    vandalise(drifting)
    executioner.arm(None)
    begun = drifting.reconcile(trace="t", time_left=drifting.until("keep"))
    looking = len(executioner.effects)
    drifting.reconcile(trace="t", time_left=lambda: LONG, run_id=begun.run)
    whole(drifting)
    number = looking - 2
    for _ in range(MOST_EFFECTS):
        vandalise(drifting)
        executioner.arm(number)
        try:
            drifting.one_pass()
            break
        except Killed:
            executioner.arm(None)
        drifting.one_pass()
        drifting.work()
        [late] = sweep(drifting)
        assert late.state == "done"
        whole(drifting)
        number += 3
    executioner.arm(None)
    whole(drifting)
    assert number - looking > 6, "a pass has fewer side effects than it can have"
