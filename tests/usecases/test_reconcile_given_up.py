"""A pass that nobody can go on with, or see to the repairs of, keeps no sweep from its work."""

import json
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from functions.reconcile import app
from shared.aws.runs import LastRun, Runs
from shared.errors import Permanent
from shared.usecases.after_sweep import AfterReport, AfterSweep
from shared.usecases.findings import KeepFindings
from shared.usecases.reconcile import GIVEN_UP, Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from shared.usecases.sweep import SweepReport
from tests.usecases.world import World

pytestmark = pytest.mark.workerd

LONG = 10_000.0


@pytest.fixture
def after(world: World) -> AfterSweep:
    control = world.control
    runs = Runs(control.state.table, boto3.client("s3"), control.settings.bucket_name)
    parts = control, world.outside, KeepFindings(control), runs, dict
    return AfterSweep(Reconcile(*parts), SettleRepairs(*parts))


def sweep(after: AfterSweep) -> AfterReport:
    return after(SweepReport(), "t", lambda: LONG)


def test_a_pass_that_nobody_can_go_on_with(
    world: World, after: AfterSweep, caplog: pytest.LogCaptureFixture
) -> None:
    """It is given up, with a log line and a report that says so, and the next one begins anew."""
    runs = after.reconcile.runs

    def rewritten(**fields: Any) -> Callable[[str], None]:
        def rewrite(key: str) -> None:
            runs.keep(key, runs.read(key) | fields)

        return rewrite

    def gone(key: str) -> None:
        bucket = world.control.settings.bucket_name
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"reports/{key}")

    ways: list[Callable[[str], Any]] = [
        gone,
        rewritten(todo=["a step of another version", "report"]),
        rewritten(drifts=[{"kind": "of another version", "seen": {}}]),
        rewritten(drifts=[{}]),
        rewritten(began=None),
        lambda _: world.clock.pass_(seconds=GIVEN_UP.total_seconds() + 60),
    ]
    for spoil in ways:
        left = after.nightly("t", lambda: 0.0)
        assert left.state == "unfinished"
        spoil(f"{left.run}/state.json")
        caplog.clear()
        [answer] = sweep(after).passes
        assert (answer.run, answer.state, answer.left) == (left.run, "given_up", 0)
        assert "a pass was given up" in caplog.messages
        [note] = runs.read(answer.report)["notes"]
        assert note.startswith("the pass was given up: ")
        assert list(runs.unfinished()) == []
    assert runs.last() is None, "no pass has ended"
    assert after.nightly("t", lambda: LONG).state == "done"
    with pytest.raises(Permanent):
        after.nightly("t", lambda: LONG, run_id="unheard-of")


def test_a_pass_that_the_sweep_ended(after: AfterSweep) -> None:
    """Who began it is told that it is done, and where its report is."""
    begun = after.nightly("t", lambda: 0.0)
    [ended] = sweep(after).passes
    told = after.nightly("t", lambda: LONG, run_id=begun.run)
    assert (told.run, told.state, told.report) == (begun.run, "done", ended.report)
    assert (told.found, told.repaired, told.left) == (ended.found, ended.repaired, ended.left)


def test_repairs_that_nobody_can_see_to(
    world: World, after: AfterSweep, caplog: pytest.LogCaptureFixture
) -> None:
    """With a report or a pass of another version they are left to the next pass, and logged."""
    runs, now = after.reconcile.runs, world.clock()
    done = after.nightly("t", lambda: LONG)
    report = runs.read(done.report)
    row = {"fingerprint": "f", "state": "open", "repaired": True}
    for document in ({"findings": [{}]}, {"other": 1}, report | {"findings": [row]}):
        runs.keep(done.report, document)
        last = LastRun(run_id=done.run, key=done.report, finished_at=now)
        runs.finish(last, began=now - timedelta(hours=1), repaired=True)
        runs.keep(f"{done.run}/state.json", {"of": "another version"})
        caplog.clear()
        assert sweep(after).left == []
        assert "nobody can see to a pass's repairs" in caplog.messages
        assert list(runs.to_settle()) == []


def test_a_record_of_the_last_pass_that_nobody_can_read(world: World, after: AfterSweep) -> None:
    """The next pass measures itself by nothing, ends, and writes it down anew."""
    after.nightly("t", lambda: LONG)
    table = boto3.resource("dynamodb").Table(world.control.settings.table_name)
    key = {"pk": "RECONCILE", "sk": "LAST"}
    table.update_item(Key=key, UpdateExpression="REMOVE finished_at")
    done = after.nightly("t", lambda: LONG)
    last = after.reconcile.runs.last()
    assert last is not None
    assert (done.state, last.run_id) == ("done", done.run)


def test_how_long_no_pass_has_ended(
    world: World,
    after: AfterSweep,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each sweep says it, from `init` on, and then from the end of the last real pass."""
    control = world.control
    parts = SimpleNamespace(settings=control.settings, control=control, outside=world.outside)
    monkeypatch.setattr(app, "_parts", lambda: (parts, after))
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 0)

    def told() -> float:
        capsys.readouterr()
        app.handler({"task": "sweep"}, context)
        lines = map(json.loads, filter(None, capsys.readouterr().out.splitlines()))
        [line] = [line for line in lines if "HoursWithoutPass" in line]
        assert line["fleet"] == control.settings.fleet
        [hours] = line["HoursWithoutPass"]
        return float(hours)

    world.clock.pass_(hours=30)
    assert told() == pytest.approx(30, abs=0.1)
    after.nightly("t", lambda: LONG, dry=True)
    after.nightly("t", lambda: 0.0)
    assert told() == pytest.approx(30, abs=0.1)
    after.nightly("t", lambda: LONG)
    world.clock.pass_(hours=2)
    assert told() == pytest.approx(2, abs=0.1)
