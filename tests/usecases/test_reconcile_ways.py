"""How a pass ends: doubled, out of time or permits, or shown a listing that lies."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from functions.reconcile import app
from local.cloudflare import Emulator
from shared.aws.budget import DynamoBudget
from shared.aws.items import Change
from shared.aws.runs import Runs
from shared.domain.alert import Alert
from shared.domain.budget import BudgetLimits, Lane
from shared.domain.database import DatabaseStatus
from shared.domain.finding import Severity, Sighting
from shared.domain.names import database_name
from shared.domain.tenant import TenantStatus
from shared.errors import NoPermit, OutcomeUnknown
from shared.settings import Settings
from shared.usecases.after_sweep import AfterSweep
from shared.usecases.findings import KeepFindings
from shared.usecases.gather_bindings import gather_bindings
from shared.usecases.looking import Looking
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from shared.usecases.sweep import SweepReport
from tests.usecases.drifting import LONG, TENANTS, Drifting, a_fleet, vandalise, whole
from tests.usecases.world import World

pytestmark = pytest.mark.workerd

MOST_INVOCATIONS = 40
STRANGER = "01J0000000000000000000000A"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"shard_capacity": 4})


@pytest.fixture
def drifting(world: World, emulator: Emulator, tmp_path: Path) -> Iterator[Drifting]:
    with a_fleet(world, emulator, tmp_path) as drifting:
        yield drifting


def test_two_at_once_repair_once(drifting: Drifting) -> None:
    """A second reconciler that saw the same before the first repaired it does nothing again.

    Nor does it forget, ending last, what the first one has yet to see mended.
    """
    vandalise(drifting)
    first, second = drifting.reconcile, drifting.reconcile
    begun = second(trace="t", time_left=drifting.until("keep"))
    assert (begun.state, begun.step) == ("unfinished", "keep")
    answers = [first(trace="t", time_left=lambda: LONG)]
    drifting.work()
    versions = {each: drifting.of(each).version for each in TENANTS}
    answers.append(second(trace="t", time_left=lambda: LONG, run_id=begun.run))
    assert [answer.state for answer in answers] == ["done", "done"]
    assert [answer.repaired for answer in answers] == [3, 0]
    assert {each: drifting.of(each).version for each in TENANTS} == versions
    assert list(drifting.runs.to_settle()) == [answers[0].run]
    after = drifting.after_sweep(SweepReport(), "t", lambda: 0)
    assert (after.left, list(drifting.runs.to_settle())) == ([0], [])
    whole(drifting)


def _steps(most: int) -> Callable[[], float]:
    """Return a clock of an invocation that has time for so many steps."""
    left = iter([10_000.0] * most + [0.0] * 1000)
    return lambda: next(left)


def test_a_pass_goes_on_in_the_next_invocation(drifting: Drifting) -> None:
    """With time for a part of a step an invocation, the end is the same as in one go."""
    vandalise(drifting)
    drifting.directory("UPDATE tenant SET state = 'suspended' WHERE tenant_id = 'three'")
    drifting.world.executioner.arm(None)
    at_once = drifting.one_pass(dry=True)
    asked = drifting.world.executioner.effects.count("POST owners")
    assert asked == 1, "whose databases rows lead to is asked once, however many they are"
    reconcile = replace(drifting.reconcile, at_once=1)
    answer = reconcile(trace="t", time_left=_steps(1))
    steps = [answer.step]
    for _ in range(MOST_INVOCATIONS):
        if answer.state != "unfinished":
            break
        answer = reconcile(trace="t", time_left=_steps(1), run_id=answer.run)
        steps.append(answer.step)
    assert answer.state == "done", f"the pass gets no further than {steps[-1]}"
    assert len(set(steps)) >= 8
    assert steps.count("routes") == 1 + 2, "each row is a part, after the directory"
    assert steps.count("contents") > len(TENANTS), "each database is a part"
    assert steps.count("repair") == answer.repaired == 4
    assert drifting.read(answer) == at_once
    assert len(drifting.report["findings"]) == 4
    assert list(drifting.runs.unfinished()) == []
    whole(drifting)


def test_a_pass_that_ends_is_a_sign_of_life(
    drifting: Drifting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The function counts `Reconciled` for a pass once it is done, not while it is under way.

    What is left is measured then, and again when repairs were seen to.
    """
    vandalise(drifting)
    parts = SimpleNamespace(settings=drifting.world.control.settings)
    monkeypatch.setattr(app, "_parts", lambda: (parts, drifting.after_sweep))

    def asked(seconds: float, **event: str) -> tuple[dict[str, Any], list[str], list[float]]:
        context = SimpleNamespace(get_remaining_time_in_millis=lambda: seconds * 1000)
        capsys.readouterr()
        answer = app.handler({"task": "nightly", **event}, context)
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line]
        beats = [line["fleet"] for line in lines if "Reconciled" in line]
        return answer, beats, [left for line in lines for left in line.get("DriftLeft", ())]

    begun, *none = asked(0)
    assert (begun["state"], none) == ("unfinished", [[], []])
    done, *measured = asked(LONG, run=begun["run"])
    assert (done["state"], done["repaired"]) == ("done", 3)
    assert measured == [[drifting.world.control.settings.fleet], [3]]
    drifting.work()
    settled, *measured = asked(LONG, task="settle", run=begun["run"])
    assert (settled["left"], measured) == (0, [[], [0]])


@dataclass
class Dead:
    """A channel that never answers."""

    name: str = "dead"
    asked: list[str] = field(default_factory=list)

    def send(self, alert: Alert) -> None:
        self.asked.append(alert.id)
        raise OutcomeUnknown("it gave no answer in time")


def test_a_dead_channel_costs_a_sweep_two_timeouts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells of its own, and of each pass that it goes on with: all of that is one invocation."""
    control, dead = world.control, Dead()
    outside = replace(world.outside, channels=lambda: (control.outbox.topic, dead))
    runs = Runs(control.state.table, boto3.client("s3"), control.settings.bucket_name)
    told = KeepFindings(control), runs, dict
    reconcile = Reconcile(control, outside, *told)
    assert reconcile(trace="t", time_left=lambda: 0).state == "unfinished"
    parts = SimpleNamespace(settings=control.settings, control=control, outside=outside)
    after = AfterSweep(reconcile, SettleRepairs(control, outside, *told))
    monkeypatch.setattr(app, "_parts", lambda: (parts, after))
    seen = [Sighting("kind", f"of {n}", Severity.ERROR, "it is wrong") for n in range(5)]
    KeepFindings(control)(seen, compared=(), trace="t")
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 0)
    for count in (2, 4):
        app.handler({"task": "sweep"}, context)
        assert len(list(runs.unfinished())) == 1
        assert len(dead.asked) == count


def test_without_permits_it_waits_its_turn(
    drifting: Drifting, stats: Callable[[], dict[str, Any]]
) -> None:
    """With the budget used up by others it sends nothing, goes on later, and meets no limit."""
    vandalise(drifting)
    settings = drifting.world.control.settings
    limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
    budget = DynamoBudget(
        drifting.world.control.state.table, limits, clock=drifting.world.control.now
    )
    with suppress(NoPermit):
        while True:
            budget.take(Lane.SIGNUP, 1000)
    before = stats()
    answer = drifting.reconcile(trace="t", time_left=lambda: 10_000.0)
    assert answer.state == "waiting"
    assert stats()["total"] == before["total"]
    busy = drifting.reconcile(trace="t", time_left=lambda: 10_000.0, run_id=answer.run)
    assert busy.state == "busy"
    drifting.world.clock.pass_(seconds=answer.retry_after + 300)
    answer = drifting.reconcile(trace="t", time_left=lambda: 10_000.0, run_id=answer.run)
    assert answer.state == "done"
    assert answer.repaired == 3
    assert stats()["rate_limited"] == 0
    whole(drifting)


def lying(listed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], *, total: int) -> Any:
    """Return what answers the listing of D1 with less than there is."""

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != "GET" or not request.url.path.endswith("/d1/database"):
            return None
        true = httpx.get(request.url, headers=request.headers).json()
        true["result"] = listed(true["result"])
        count = len(true["result"])
        true["result_info"] |= {"count": count, "total_count": count + total}
        return httpx.Response(200, content=json.dumps(true))

    return answer


@pytest.mark.parametrize("total", [0, 3])
def test_a_listing_that_lies_destroys_nothing(drifting: Drifting, total: int) -> None:
    """Cut short it proves nothing, and what it leaves out quietly is asked for and found."""
    names = {
        database_name(drifting.world.control.settings.fleet, drifting.of(each).database_ulid)
        for each in TENANTS
    }
    drifting.world.executioner.meddle = lying(
        lambda rows: [row for row in rows if row["name"] not in names], total=total
    )
    answer = drifting.reconcile(trace="t", time_left=lambda: 10_000.0)
    report = drifting.runs.read(answer.report)
    assert report["findings"] == []
    assert bool(report["notes"]) == bool(total)
    assert ("database_missing" in report["compared_kinds"]) == (not total)
    assert {drifting.of(each).status for each in TENANTS} == {TenantStatus.ACTIVE}
    drifting.world.executioner.meddle = lambda _: None
    drifting.serves(*TENANTS)


def test_who_may_answer_does_not_fail(drifting: Drifting) -> None:
    """While its binding only says that a database is busy, its tenant stays, days later too."""
    world, one = drifting.world, drifting.of("one")
    drifting.delete_database(one.database_id)
    world.executioner.meddle = busy
    for _ in range(2):
        assert drifting.one_pass() == {("database_missing", "one")}
        assert drifting.report["repaired"] == 0
        assert drifting.of("one") == one
        world.clock.pass_(hours=25)
    world.executioner.meddle = lambda _: None
    assert drifting.one_pass() == {("database_missing", "one")}
    assert drifting.of("one").status is TenantStatus.FAILED


def busy(request: httpx.Request) -> httpx.Response | None:
    """Answer a question about databases as if those that are gone had too much to do."""
    if not request.url.path.endswith("/_d1fleet/inspect"):
        return None
    answer = httpx.post(request.url, content=request.content, headers=request.headers)
    body = answer.json()
    for row in body["rows"]:
        if "error" in row:
            row["error"]["message"] = "D1_ERROR: D1 DB is overloaded. Too many requests queued."
    return httpx.Response(200, content=json.dumps(body))


def test_the_cost_of_a_pass(drifting: Drifting, stats: Callable[[], dict[str, Any]]) -> None:
    """With nothing amiss it costs a page of the list and a look at each shard; else little more."""
    before = stats()["total"]
    assert drifting.one_pass() == set()
    shards = len(drifting.world.control.pools.shards())
    assert shards == 2
    assert stats()["total"] - before == drifting.report["rest_calls"] == 1 + shards
    world, pooled = drifting.world, drifting.pooled()
    aside = pooled.moved(DatabaseStatus.QUARANTINED, world.clock())
    deleted = aside.moved(DatabaseStatus.DELETED, world.clock())
    world.control.state.commit(Change(pooled, aside))
    world.control.state.commit(Change(aside, deleted))
    assert drifting.one_pass(dry=True) == {("pool_low", None)}, "a list may be older than a delete"
    world.clock.pass_(minutes=20)
    shard = drifting.of("one").shard
    more = bound_to_more(shard, 300)
    world.executioner.meddle = more
    before = stats()["total"]
    found = drifting.one_pass(dry=True)
    assert Counter(kind for kind, _ in found) == {
        "binding_dangling": 300,
        "database_orphan": 1,
        "pool_low": 1,
    }
    assert stats()["total"] - before == drifting.report["rest_calls"] == 1 + shards + 1
    lie = lying(lambda rows: rows, total=3)
    world.executioner.meddle = lambda request: more(request) or lie(request)
    looking = Looking(world.control, world.outside, drifting.count, world.clock())
    unsure = gather_bindings(looking, shard)
    assert len(unsure) == 300
    assert {each.repair for each in unsure} == {None}, "a list that lies says of nothing it is gone"


def bound_to_more(script: str, count: int) -> Any:
    """Return what answers a shard's settings with bindings to databases that are not there."""
    more = [
        {"type": "d1", "name": f"DB_01J{number:023d}", "id": str(uuid4())}
        for number in range(count)
    ]

    def answer(request: httpx.Request) -> httpx.Response | None:
        if request.method != "GET" or not request.url.path.endswith(f"/{script}/settings"):
            return None
        true = httpx.get(request.url, headers=request.headers).json()
        true["result"]["bindings"] += more
        return httpx.Response(200, content=json.dumps(true))

    return answer
