"""`d1fleet tenants suspend|resume|close`: the operator's word."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ops.asking
from shared.domain.tenant import TenantStatus

pytestmark = pytest.mark.workerd


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits in front of it."""
    monkeypatch.setattr(ops.asking, "_terminal", lambda: True)


def row(ran: Any) -> dict[str, Any]:
    assert ran.status == 0, ran.stderr
    return dict(ran.data[0] if isinstance(ran.data, list) else ran.data)


def test_suspended_and_resumed(stack: Any) -> None:
    """Both take several tenants, are said by the operator, and can be said again."""
    stack.active("org_words_1")
    stack.active("org_words_2")
    for _ in range(2):
        ran = stack.run("tenants", "suspend", "org_words_1", "org_words_2", "--json")
        assert [r["status"] for r in ran.data] == ["suspended"] * 2
    assert row(ran)["reason"] == "suspended by an operator"
    assert row(ran)["operator"] == "suspend"
    assert datetime.fromisoformat(row(ran)["operator_at"]) <= datetime.now(UTC)
    stack.work(lambda: stack.tenant("org_words_1").settled)
    ran = stack.run("tenants", "resume", "org_words_1", "org_words_2", "--json")
    assert row(ran)["status"] == "activating"
    for tenant_id in ("org_words_1", "org_words_2"):
        stack.work(lambda tenant_id=tenant_id: stack.status(tenant_id) == "active")
    assert stack.tenant("org_words_1").reason is None


def test_one_that_is_unknown_does_not_hold_up_the_others(stack: Any) -> None:
    """The others are suspended; the status is 1, and scripts see which was refused."""
    stack.active("org_words_1")
    ran = stack.run("tenants", "suspend", "org_nobody", "org_words_1", "--json")
    assert ran.status == 1
    assert [each["tenant_id"] for each in ran.data["refused"]] == ["org_nobody"]
    assert [each["tenant_id"] for each in ran.data["done"]] == ["org_words_1"]
    assert stack.status("org_words_1") == "suspended"
    stack.run("tenants", "resume", "org_words_1")
    stack.work(lambda: stack.status("org_words_1") == "active")


def test_closing_can_be_taken_back(stack: Any) -> None:
    """A closing has its grace, `--grace` changes it from now on, and a resume undoes it all."""
    stack.active("org_words_3")
    ran = stack.run("tenants", "close", "org_words_3", "--json")
    assert row(ran)["status"] == "closing"
    assert row(ran)["reason"] == "closed by an operator"
    ends = datetime.fromisoformat(row(ran)["grace_ends_at"])
    assert ends - datetime.now(UTC) > timedelta(days=29)
    ran = stack.run("tenants", "close", "org_words_3", "--grace", "P3D", "--json")
    ends = datetime.fromisoformat(row(ran)["grace_ends_at"])
    assert timedelta(days=2) < ends - datetime.now(UTC) <= timedelta(days=3)
    assert "once a backup is proven" in stack.run("tenants", "close", "org_words_3").stdout
    assert row(stack.run("tenants", "resume", "org_words_3", "--json"))["status"] == "activating"
    stack.work(lambda: stack.status("org_words_3") == "active")
    assert stack.tenant("org_words_3").grace_ends_at is None


@pytest.mark.parametrize("grace", ["30", "P", "-P1D", "tomorrow", "P1H"])
def test_what_is_no_duration_is_wrong_usage(stack: Any, grace: str) -> None:
    """Also plain numbers, of which nobody knows whether they are days or seconds."""
    stack.active("org_words_1")
    ran = stack.run("tenants", "close", "org_words_1", f"--grace={grace}")
    assert ran.status == 64
    assert "ISO 8601" in ran.stderr
    assert stack.status("org_words_1") == "active"


@pytest.mark.parametrize("more", [[], ["--confirm", "org_words_2"], ["--confirm", ""]])
def test_without_a_backup_only_with_the_id_once_more(stack: Any, more: list[str]) -> None:
    """Where nobody can be asked, `--confirm` must name the very tenant, or nothing is done."""
    stack.active("org_words_1")
    ran = stack.run("tenants", "close", "org_words_1", "--without-backup", *more)
    assert ran.status == 64
    assert "--confirm" in ran.stderr
    assert stack.status("org_words_1") == "active"


def test_confirming_what_need_not_be_confirmed_is_wrong_usage(stack: Any) -> None:
    """Whoever types `--confirm` alone believes that something else will happen."""
    stack.active("org_words_1")
    assert stack.run("tenants", "close", "org_words_1", "--confirm", "org_words_1").status == 64
    assert stack.status("org_words_1") == "active"


def test_on_a_terminal_the_id_is_asked_for(stack: Any, terminal: None) -> None:
    """Another answer does nothing, the id goes on; what will happen is said first."""
    stack.active("org_words_4")
    arguments = ("tenants", "close", "org_words_4", "--without-backup")
    ran = stack.run(*arguments, typed="org_words_1\n")
    assert (ran.status, stack.status("org_words_4")) == (1, "active")
    assert "for good, without a backup" in ran.stderr
    ran = stack.run(*arguments, typed="org_words_4\n")
    assert (ran.status, stack.status("org_words_4")) == (0, "closing")
    assert "deleted unsaved" in ran.stdout
    assert stack.tenant("org_words_4").without_backup
    assert stack.run("tenants", "resume", "org_words_4").status == 0
    stack.work(lambda: stack.status("org_words_4") == TenantStatus.ACTIVE)
    assert not stack.tenant("org_words_4").without_backup
