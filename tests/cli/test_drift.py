"""`d1fleet drift` and `d1fleet reconcile`: what drifted, and what was done about it."""

from typing import Any

import pytest

from ops.passes import Passes
from shared.aws.runs import LastRun
from shared.domain.budget import Lane
from shared.usecases.drift_report import report_of
from shared.usecases.drift_run import Run

pytestmark = pytest.mark.workerd

FIELDS = {
    *("kind", "severity", "tenant_id", "database_id", "database_name", "binding"),
    *("fingerprint", "repair", "state"),
}


def falsify(stack: Any, tenant_id: str) -> None:
    """Change a tenant's row in the directory by SQL."""
    directory_id = stack.parts.control.fleet.get().directory_id
    d1 = stack.parts.outside.cloudflare().on(Lane.REPAIR).d1
    d1.query(directory_id, "UPDATE tenant SET state = 'suspended' WHERE tenant_id = ?", [tenant_id])


def stale(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What is told of the directory: other tests leave databases behind that differ too."""
    return [each for each in report["findings"] if each["kind"] == "directory_stale"]


def test_the_policy_is_shown(stack: Any) -> None:
    """Each kind, what is done about it, and when."""
    rows = {row["kind"]: row for row in stack.run("drift", "--policy", "--json").data}
    assert rows["database_orphan"]["policy"] == "auto"
    assert rows["binding_wrong"]["when"] == "at first sight"
    assert (rows["schema_drift"]["policy"], rows["schema_drift"]["when"]) == (
        "alert",
        "by a person",
    )


def test_a_dry_run_and_a_real_one(stack: Any) -> None:
    """A dry run finds and changes nothing; a real one repairs, waits for that, and says so."""
    stack.active("org_drift")
    stack.fill()
    falsify(stack, "org_drift")
    for arguments in (("drift", "--now"), ("reconcile", "--dry-run")):
        ran = stack.run(*arguments, "--json")
        assert (ran.status, ran.data["dry_run"]) == (2, True)
        [finding] = stale(ran.data)
        assert set(finding) >= FIELDS
        assert (finding["tenant_id"], finding["repair"]) == ("org_drift", "route")
        assert finding["state"] == "open"
    ran = stack.run("reconcile", "--json")
    assert [each["state"] for each in stale(ran.data)] == ["resolved"]
    left = [each for each in ran.data["findings"] if each["state"] != "resolved"]
    assert ran.data["left"] == len(left)
    assert ran.status == (2 if left else 0)
    last = stack.run("drift", "--json")
    assert (last.status, last.data) == (ran.status, ran.data)
    assert "repaired" in stack.run("drift").stderr
    assert stale(stack.run("reconcile", "--json").data) == []


def test_a_report_of_another_version(stack: Any) -> None:
    """What can't be shown is said in one line, with what brings a report that can."""
    runs, now = Passes(stack).runs, stack.parts.control.now()
    before = runs.last()
    other = LastRun(run_id="other", key="other.json", finished_at=now)
    runs.finish(other, began=now, repaired=False)
    runs.keep(other.key, {"findings": [{"of": "another version"}]})
    ran = stack.run("drift")
    assert (ran.status, ran.stdout) == (1, "")
    assert "other.json is another version's: run `d1fleet reconcile`" in ran.stderr
    if before is not None:
        runs.finish(before, began=now, repaired=False)


@pytest.mark.parametrize("ended", ["done", "given_up"])
def test_a_pass_that_somebody_else_goes_on_with(stack: Any, ended: str) -> None:
    """It is waited for; with notes in its report the status is 2, though no drift is left."""
    now = stack.parts.control.now()
    run = Run(run_id=f"of {ended}", began=now, dry=False, todo=[])
    run.note("the directory was not compared", ())
    key = f"{run.run_id}.json"
    Passes(stack).runs.keep(key, report_of(run, {}, now))
    rest = {"run": run.run_id, "step": "", "retry_after": 0, "repaired": 0, "report": key}
    states = ["unfinished", "busy", ended]
    answers = [({"state": state, **rest}, False) for state in states]
    left = iter(answers)
    asked = len(stack.lambda_door.asked)
    stack.lambda_door.answer = lambda _: next(left)
    ran = stack.run("reconcile", "--json")
    assert ran.status == 2
    assert (ran.data["left"], ran.data["notes"]) == (0, ["the directory was not compared"])
    goes_on = {"task": "nightly", "run": run.run_id}
    payloads = [each["payload"] for each in stack.lambda_door.asked[asked:]]
    assert payloads == [{"task": "nightly", "dry": False}, goes_on, goes_on]
