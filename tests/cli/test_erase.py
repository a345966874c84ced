"""`d1fleet erase`: what is left of a closed tenant goes, and the receipt says so."""

from typing import Any

import pytest

import ops.asking

pytestmark = pytest.mark.workerd


def test_a_closed_tenant_is_erased(stack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backed up, deleted, erased: no backup, no history, no name; then its id begins anew."""
    stack.run("tenants", "provision", "org_law", "--name", "Ada Ltd")
    stack.work(lambda: stack.status("org_law") == "active")
    ran = stack.run("erase", "org_law", "--confirm", "org_law")
    assert (ran.status, "tenants close org_law" in ran.stderr) == (1, True)
    stack.gone("org_law")
    assert stack.run("erase", "org_law").status == 64
    assert stack.run("erase", "org_law", "--confirm", "org_1").status == 64
    [backup] = stack.run("backups", "org_law", "--json").data

    ran = stack.run("erase", "org_law", "--confirm", "org_law", "--json")
    assert ran.status == 0, ran.stderr
    assert set(ran.data) == {
        *["receipt_id", "tenant_hash", "episode", "begun_at", "erased_at", "databases", "backups"]
    }
    assert [one["backup_id"] for one in ran.data["backups"]] == [backup["backup_id"]]
    assert "org_law" not in ran.stdout
    assert "Ada" not in ran.stdout
    monkeypatch.setattr(ops.asking, "_terminal", lambda: True)
    again = stack.run("erase", "org_law", typed="org_law\n")
    assert (again.status, ran.data["receipt_id"] in again.stdout) == (0, True)

    shown = stack.run("tenants", "show", "org_law", "--json").data
    assert (shown["status"], shown["display_name"], shown["last_backup"]) == ("closed", None, None)
    assert (shown["receipts"], shown["what"]) == (
        [],
        "closed, its database is deleted; there is no backup",
    )
    assert stack.run("tenants", "history", "org_law", "--json").data == []
    [erased] = stack.run("backups", "org_law", "--json").data
    assert (erased["status"], erased["proven"], erased["sha256"]) == ("erased", False, None)
    listed = stack.aws("s3").list_object_versions(
        Bucket=stack.settings.bucket_name, Prefix=f"{backup['key'].rpartition('/')[0]}/"
    )
    assert "Versions" not in listed
    assert "no proven backup" in stack.run("restore", "org_law").stderr
    stack.active("org_law")
    assert stack.read("org_law", "SELECT count(*) FROM notes") == [0]
