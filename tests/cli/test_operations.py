"""`d1fleet init`, `doctor`, `budget`, `reconcile`: the fleet as a whole."""

from datetime import timedelta
from typing import Any

import pytest

from shared.aws.budget import DynamoBudget
from shared.aws.table import Delete
from shared.domain.budget import BudgetLimits

pytestmark = pytest.mark.workerd


def test_init_can_be_run_again(stack: Any) -> None:
    """The second run finds everything, changes nothing, and gives the same answer."""
    first = stack.run("init", "--json")
    second = stack.run("init", "--json")
    assert first.status == second.status == 0
    assert first.data == second.data
    assert set(first.data) == {
        *["fleet", "uid", "account_id", "directory_id", "router_url", "created_at"]
    }
    assert first.data["router_url"] in stack.run("init").stdout


def test_init_says_which_permission_is_missing(stack: Any) -> None:
    """One line that names the permission; and an account without a subdomain is told where."""
    account = stack.emulator.account
    before = dict(account.tokens)
    account.tokens[stack.emulator.api_token] = frozenset({"Workers Scripts Write"})
    try:
        ran = stack.run("init")
        seen = stack.run("doctor", "--json")
    finally:
        account.tokens.update(before)
    assert ran.status == 1
    assert "D1 Write" in ran.stderr
    assert seen.status == 2
    assert [c["status"] for c in seen.data if "D1 Write" in c["detail"]] == ["failed"]


def test_init_without_a_subdomain_says_where_to_get_one(stack: Any) -> None:
    """A new account has none until somebody opens the dashboard."""
    account = stack.emulator.account
    account.subdomain, before = None, account.subdomain
    try:
        ran = stack.run("init")
    finally:
        account.subdomain = before
    assert ran.status == 1
    assert "workers.dev subdomain" in ran.stderr
    assert "dashboard" in ran.stderr


def test_a_healthy_fleet_passes_every_check(stack: Any) -> None:
    """Every check is made, and is well."""
    stack.fill()
    ran = stack.run("doctor", "--json")
    assert [row for row in ran.data if row["status"] != "ok"] == []
    assert ran.status == 0
    assert {row["check"] for row in ran.data} == {
        *["settings", "secrets", "table", "bucket", "queues", "clock", "migrations", "budget"],
        *["token", "pool workers", "pools", "breaker", "parked"],
    }
    assert set(ran.data[0]) == {"check", "status", "detail", "advice"}


def failing(stack: Any) -> list[dict[str, Any]]:
    ran = stack.run("doctor", "--json")
    assert ran.status == 2
    return [row for row in ran.data if row["status"] != "ok"]


def test_doctor_finds_what_is_wrong(stack: Any) -> None:
    """A missing secret, a dead letter and a lost text are each found, with what to do."""
    stack.fill()
    secret = f"{stack.settings.secrets_prefix}/auth/clerk"
    secrets, sqs, s3 = stack.aws("secretsmanager"), stack.aws("sqs"), stack.aws("s3")
    value = secrets.get_secret_value(SecretId=secret)["SecretString"]
    secrets.put_secret_value(SecretId=secret, SecretString="[]")
    sqs.send_message(QueueUrl=stack.settings.work_dlq_url, MessageBody="lost")
    head = stack.parts.outside.migrations.head()
    key = f"migrations/{head.files[0].sha256}.sql"
    text = s3.get_object(Bucket=stack.settings.bucket_name, Key=key)["Body"].read()
    s3.put_object(Bucket=stack.settings.bucket_name, Key=key, Body=b"DROP TABLE notes;")
    try:
        found = {row["check"]: row for row in failing(stack)}
    finally:
        secrets.put_secret_value(SecretId=secret, SecretString=value)
        sqs.purge_queue(QueueUrl=stack.settings.work_dlq_url)
        s3.put_object(Bucket=stack.settings.bucket_name, Key=key, Body=text)
    assert set(found) == {"secrets", "queues", "migrations"}
    assert secret in found["secrets"]["detail"]
    assert value not in str(found)
    assert found["queues"]["status"] == "warning"
    assert "not what was pushed" in found["migrations"]["detail"]


def test_doctor_finds_a_bucket_that_keeps_nothing(stack: Any) -> None:
    """Without versions no backup can be proven, without a lifecycle none ever goes."""
    s3, bucket = stack.aws("s3"), stack.settings.bucket_name
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    off, on = ({"Status": status} for status in ("Suspended", "Enabled"))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=off)
    s3.delete_bucket_lifecycle(Bucket=bucket)
    try:
        found = [row for row in failing(stack) if row["check"] == "bucket"]
    finally:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=on)
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket, LifecycleConfiguration={"Rules": rules}
        )
    assert [(row["status"], row["detail"].partition(":")[0]) for row in found] == [
        ("failed", f"{bucket} keeps no versions"),
        ("warning", f"{bucket} has no lifecycle"),
    ]


def test_doctor_says_that_deletes_are_stopped(stack: Any) -> None:
    """It is a warning: nothing is lost, but somebody must look."""
    breaker, table = stack.parts.control.breaker, stack.parts.control.state.table
    stack.parts.control.state.commit(
        also=[breaker.open(breaker.read(), "too many", stack.parts.control.now())]
    )
    found = {row["check"]: row["detail"] for row in failing(stack)}
    table.write(Delete({"pk": "BREAKER", "sk": "META"}))
    assert found["breaker"] == "deletes are stopped: too many"


def test_the_budget_is_shown_by_lane(stack: Any) -> None:
    """What each lane may take now and took ever; closed is closed, with the reason."""
    ran = stack.run("budget", "--json")
    assert ran.status == 0
    assert (ran.data["limit"], ran.data["allowed"], ran.data["open"]) == (1200, 960, True)
    lanes = {lane["lane"]: lane for lane in ran.data["lanes"]}
    assert list(lanes) == ["signup", "teardown", "repair", "migration", "refill"]
    assert lanes["repair"]["used"] > 0
    assert 0 <= lanes["refill"]["left"] <= lanes["refill"]["most"]
    assert "refill" in stack.run("budget").stdout

    control = stack.parts.control
    budget = DynamoBudget(control.state.table, BudgetLimits.of(1200, 300, 0.8), control.now)
    budget.close(control.now() + timedelta(seconds=10), "a test")
    closed = stack.run("budget", "--json").data
    assert (closed["open"], closed["closed_by"]) == (False, "a test")
    assert "closed until" in stack.run("budget").stderr
    # Opened by hand: a budget is never closed for less long than somebody said.
    control.state.table.write(Delete({"pk": "BUDGET", "sk": "META"}))
    assert stack.run("budget", "--json").data["open"]


def test_a_sweep_runs_the_function_and_prints_its_report(stack: Any) -> None:
    """The reconcile function is invoked once, with the task that its schedule has."""
    before = len(stack.lambda_door.asked)
    ran = stack.run("reconcile", "--sweep", "--json")
    assert (ran.status, set(ran.data)) == (0, {"tenants", "databases"})
    [asked] = stack.lambda_door.asked[before:]
    assert asked["payload"] == {"task": "sweep"}
    assert stack.outputs["ReconcileFunctionName"] in asked["path"]


@pytest.mark.parametrize("left", ["unfinished", "unanswered"])
def test_a_sweep_that_could_not_do_all_ends_with_2(stack: Any, left: str) -> None:
    """What was not looked at is no good news."""
    stack.lambda_door.answer = lambda _: ({"unfinished": [], "unanswered": [], left: ["a"]}, False)
    ran = stack.run("reconcile", "--sweep", "--json")
    assert (ran.status, ran.data[left]) == (2, ["a"])


def test_a_function_that_failed_is_a_failure(stack: Any) -> None:
    """What the function said is the line."""
    stack.lambda_door.answer = lambda _: ({"errorMessage": "no such table"}, True)
    ran = stack.run("reconcile", "--sweep")
    assert ran.status == 1
    assert "no such table" in ran.stderr
