"""`d1fleet tenants`: what operators see, and how they help one along."""

from datetime import datetime
from typing import Any

import pytest

pytestmark = pytest.mark.workerd

FIELDS = {
    *["tenant_id", "status", "reason", "class", "database_id", "database_name", "binding", "shard"],
    *["schema_version", "display_name", "provider", "episode", "operator", "operator_at"],
    *["grace_ends_at", "without_backup", "final_backup_id", "restore_id", "created_at"],
    *["updated_at", "status_since"],
}
SHOWN = {
    *["what", "word", "next", "next_at", "needs_a_person", "entitlement", "subscriptions"],
    *["database_status", "database_reason", "database_created_at", "last_backup", "copies"],
    "receipts",
}


def test_a_provisioned_tenant_is_listed_shown_and_remembered(stack: Any) -> None:
    """From a warm pool it is activating at once; JSON has the documented fields, times in UTC."""
    stack.fill()
    ran = stack.run("tenants", "provision", "org_warm", "--name", "Warm Ltd", "--json")
    assert ran.status == 0
    assert (ran.data["status"], ran.data["class"]) == ("activating", "weur")
    stack.work(lambda: stack.status("org_warm") == "active")

    listed = {row["tenant_id"]: row for row in stack.run("tenants", "list", "--json").data}
    row = listed["org_warm"]
    assert set(row) == FIELDS
    assert (row["status"], row["reason"], row["display_name"]) == ("active", None, "Warm Ltd")
    assert row["database_name"] == f"clit-{row['binding'].removeprefix('DB_').lower()}"
    head = stack.parts.outside.migrations.head()
    assert (row["shard"], row["schema_version"]) == ("clit-pool-1", head.schema_version)
    assert row["created_at"].endswith("Z")
    assert datetime.fromisoformat(row["created_at"]) <= datetime.fromisoformat(row["updated_at"])

    shown = stack.run("tenants", "show", "org_warm", "--json").data
    assert {name: shown[name] for name in FIELDS} == row
    assert shown["database_status"] == "claimed"
    assert set(shown) == FIELDS | SHOWN
    assert (shown["what"], shown["entitlement"]) == ("served, without a subscription", "free")
    assert (shown["next"], shown["next_at"], shown["needs_a_person"]) == (None, None, False)
    assert (shown["last_backup"], shown["copies"], shown["receipts"]) == (None, [], [])

    lines = stack.run("tenants", "history", "org_warm", "--json").data
    assert [line["what"] for line in lines] == ["active", "activating"]
    assert set(lines[0]) == {"at", "who", "what", "why", "call", "trace"}
    assert lines[1]["who"].startswith("operator:")
    assert lines[1]["trace"].startswith("cli-")


def test_provisioning_again_changes_nothing(stack: Any) -> None:
    """The tenant keeps its database, whoever asks how often."""
    stack.active("org_one")
    before = stack.run("tenants", "show", "org_one", "--json").data
    ran = stack.run("tenants", "provision", "org_one", "--json")
    assert (ran.status, ran.data["status"]) == (0, "active")
    assert stack.run("tenants", "show", "org_one", "--json").data == before


def test_a_tenant_of_another_class_gets_a_database_there(stack: Any) -> None:
    """`--class` chooses among the fleet's classes, and nothing else."""
    stack.fill()
    ran = stack.run("tenants", "provision", "org_eu", "--class", "eu", "--json")
    assert ran.data["class"] == "eu"
    ran = stack.run("tenants", "provision", "org_oc", "--class", "oc")
    assert ran.status == 1
    assert "no class oc: it has weur, eu" in ran.stderr
    assert stack.status("org_oc") == "unknown"


@pytest.mark.parametrize("tenant_id", ["a b", "x" * 129, "ü", "a/b", ""])
def test_a_strange_id_is_refused(stack: Any, tenant_id: str) -> None:
    """The rule for ids holds for operators too."""
    ran = stack.run("tenants", "provision", tenant_id)
    assert ran.status == 1
    assert "tenant id is refused" in ran.stderr


def test_listing_some_statuses_only(stack: Any) -> None:
    """`--status` chooses; an unknown one is wrong usage."""
    stack.active("org_one")
    ids = [
        row["tenant_id"]
        for row in stack.run("tenants", "list", "--status", "active", "--json").data
    ]
    assert "org_one" in ids
    failed = stack.run("tenants", "list", "--status", "failed", "--status", "closed", "--json")
    assert "org_one" not in [row["tenant_id"] for row in failed.data]
    assert stack.run("tenants", "list", "--status", "gone").status == 64


def test_the_table_for_people_has_every_tenant(stack: Any) -> None:
    """Without --json the list is a table, nothing cut off even without a terminal."""
    stack.active("org_one")
    ran = stack.run("tenants", "list")
    [line] = [line for line in ran.stdout.splitlines() if "org_one" in line]
    assert "active" in line
    assert stack.run("tenants", "show", "org_one", "--json").data["database_name"] in line


def test_one_screen_says_what_happens_next(stack: Any) -> None:
    """For people: what the tenant is, on whose word, what comes next and when; nothing empty."""
    stack.active("org_screen")
    stack.run("tenants", "close", "org_screen", "--grace", "P3D")
    shown = stack.run("tenants", "show", "org_screen", "--json").data
    assert shown["what"].startswith("closing: closed by an operator; access is cut")
    assert shown["next"] == "backup, proof, unbinding, deletion"
    assert shown["next_at"] == shown["grace_ends_at"]
    lines = stack.run("tenants", "show", "org_screen").stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["tenant", "status", "what", "word"]
    assert not [line for line in lines if line.rstrip().endswith(" -")]
    stack.run("tenants", "resume", "org_screen")
    stack.work(lambda: stack.status("org_screen") == "active")
    assert stack.run("tenants", "show", "org_screen", "--json").data["word"].startswith("an oper")


@pytest.mark.parametrize("verb", ["show", "history", "retry"])
def test_an_unknown_tenant_is_said_to_be_unknown(stack: Any, verb: str) -> None:
    """One line that says where to look, status 1."""
    ran = stack.run("tenants", verb, "org_nobody")
    assert (ran.status, ran.stdout) == (1, "")
    assert ran.stderr == "d1fleet: there is no tenant org_nobody: see `d1fleet tenants list`\n"


def test_a_failed_tenant_goes_on_after_a_retry(stack: Any) -> None:
    """The account is full and its pool empty: it fails; once there is room a retry finishes it."""
    account = stack.emulator.account
    stack.fill()
    account.databases, before = 0, account.databases
    try:
        for number in range(3):  # the pool has two
            stack.run("tenants", "provision", f"org_full_{number}")
        stack.work(lambda: stack.status("org_full_2") == "failed")
        row = stack.run("tenants", "show", "org_full_2", "--json").data
        assert "databases" in row["reason"]
        pool = stack.run("pool", "status", "--json").data[0]
        assert pool["reason"] == row["reason"]
        assert pool["blocked_since"].endswith("Z")
        checks = stack.run("doctor", "--json")
        assert checks.status == 2
        assert f"class weur: {row['reason']}" in [check["detail"] for check in checks.data]
        ran = stack.run("tenants", "provision", "org_full_2")
        assert ran.status == 1
        assert "`d1fleet tenants retry org_full_2`" in ran.stderr
    finally:
        account.databases = before
    ran = stack.run("tenants", "retry", "--failed", "--json")
    assert [row["tenant_id"] for row in ran.data] == ["org_full_2"]
    stack.work(lambda: stack.status("org_full_2") == "active")
    stack.fill()
    what = [line["what"] for line in stack.run("tenants", "history", "org_full_2", "--json").data]
    assert what[-3:] == ["retried", "failed", "pending"]


def test_retrying_what_did_not_fail_changes_nothing(stack: Any) -> None:
    """A settled tenant stays as it is; naming nobody is wrong usage."""
    stack.active("org_one")
    before = stack.run("tenants", "show", "org_one", "--json").data
    assert stack.run("tenants", "retry", "org_one").status == 0
    some = stack.run("tenants", "retry", "org_nobody", "org_one", "--json")
    assert (some.status, "org_nobody" in some.data["error"]) == (1, True)
    assert [row["tenant_id"] for row in some.data["tenants"]] == ["org_one"]
    assert stack.run("tenants", "show", "org_one", "--json").data == before
    assert stack.run("tenants", "retry").status == 64
    assert stack.run("tenants", "retry", "org_one", "--failed").status == 64
