"""`d1fleet restore`: data comes back, or a copy of it, and nothing that is there is lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import working

pytestmark = pytest.mark.workerd

NOTES = "SELECT text FROM notes ORDER BY id"


def noted(stack: Any, tenant_id: str) -> str:
    """Have a tenant with a note and a proven backup of it; return the backup's id."""
    stack.active(tenant_id)
    stack.write(tenant_id, f"INSERT INTO notes (text) VALUES ('of {tenant_id}')")
    with working(stack):
        ran = stack.run("backup", tenant_id, "--json")
    assert ran.status == 0, ran.stderr
    return str(ran.data["backup_id"])


def restored(stack: Any, *arguments: str) -> Any:
    with working(stack):
        ran = stack.run("restore", *arguments, "--json")
    assert ran.status == 0, ran.stderr
    return ran.data


def test_a_closed_tenant_comes_back_with_its_data(stack: Any) -> None:
    """Proven, deleted, closed; then restored into another database, and served."""
    stack.active("org_back")
    stack.write("org_back", "INSERT INTO notes (text) VALUES ('kept')")
    before = stack.tenant("org_back").database_name
    stack.gone("org_back")
    shown = stack.run("tenants", "show", "org_back", "--json").data
    assert shown["last_backup"]["reason"] == "closing"
    assert shown["next_at"] == shown["last_backup"]["expires_at"]
    [receipt] = shown["receipts"]
    assert (receipt["database_name"], receipt["on_whose_word"]) == (before, "closed by an operator")
    assert receipt["backup_id"] == shown["final_backup_id"]
    assert stack.run("sql", "org_back", NOTES).status == 1

    row = restored(stack, "org_back")
    assert (row["status"], row["restore"]["status"]) == ("active", "done")
    assert row["database_name"] == row["restore"]["database_name"] != before
    assert stack.read("org_back", NOTES) == ["kept"]
    assert stack.tenant("org_back").episode == 1


def test_a_closing_tenant_is_resumed(stack: Any) -> None:
    """Nothing is imported: it has its data all along."""
    stack.active("org_undo")
    stack.run("tenants", "close", "org_undo")
    row = restored(stack, "org_undo")
    assert (row["status"], row["restore"]) == ("active", None)
    stack.run("tenants", "close", "org_undo")
    with working(stack):
        ran = stack.run("restore", "org_undo")
    assert "its closing is undone" in ran.stdout


def test_a_copy_to_look_at(stack: Any, tmp_path: Path) -> None:
    """It lies beside what the tenant has: asked, copied to a file, and dropped on a word."""
    backup_id = noted(stack, "org_copy")
    stack.write("org_copy", "DELETE FROM notes")
    row = restored(stack, "org_copy", "--detached", "--backup", backup_id)
    name = row["restore"]["database_name"]
    assert (row["status"], row["restore"]["detached"]) == ("active", True)
    assert stack.read("org_copy", NOTES) == []
    assert stack.read("org_copy", NOTES, "--database", name) == ["of org_copy"]
    file = tmp_path / "copy.sqlite"
    assert stack.run("backup", "org_copy", "--database", name, "-o", str(file)).status == 0
    shown = stack.run("tenants", "show", "org_copy", "--json").data
    assert [copy["database_name"] for copy in shown["copies"]] == [name]

    stack.active("org_other")
    refused = stack.run("sql", "org_other", NOTES, "--database", name)
    assert (refused.status, f"org_other has no database {name}" in refused.stderr) == (1, True)
    assert stack.run("restore", "org_copy", "--drop", name).status == 64
    for own in (stack.tenant("org_copy").database_name, "clit-x"):
        ran = stack.run("restore", "org_copy", "--drop", own, "--confirm", "org_copy")
        assert (ran.status, own in ran.stderr) == (1, True)
    with working(stack):
        ran = stack.run("restore", "org_copy", "--drop", name, "--confirm", "org_copy", "--json")
    assert (ran.status, ran.data["database_status"]) == (0, "deleted")
    assert stack.run("tenants", "show", "org_copy", "--json").data["copies"] == []
    assert stack.run("restore", "org_copy", "--drop", name, "--confirm", "org_copy").status == 0


def test_a_backup_takes_the_place_of_what_a_tenant_has(stack: Any) -> None:
    """Only on a word; what it had is unbound and stays as a copy, with its data."""
    noted(stack, "org_swap")
    stack.write("org_swap", "INSERT INTO notes (text) VALUES ('later')")
    ran = stack.run("restore", "org_swap")
    assert (ran.status, "--replace" in ran.stderr) == (1, True)
    before = stack.tenant("org_swap").database_name
    row = restored(stack, "org_swap", "--replace")
    assert (row["status"], row["operator"]) == ("active", "resume")
    assert row["database_name"] != before
    assert stack.read("org_swap", NOTES) == ["of org_swap"]
    assert stack.read("org_swap", NOTES, "--database", before) == ["of org_swap", "later"]
    state = stack.parts.control.state
    ulid = before.partition("-")[2].upper()
    assert state.slot(state.database(ulid).shard, ulid).gone
    with working(stack):
        ran = stack.run("restore", "org_swap", "--drop", before, "--confirm", "org_swap")
    assert ran.status == 0, ran.stderr
    assert state.slot(state.database(ulid).shard, ulid) is None


def test_what_makes_no_sense_is_refused(stack: Any) -> None:
    """Unknown tenants and backups, no backup at all, and options that exclude each other."""
    stack.active("org_plain")
    for arguments, told in (
        (("org_nobody",), "no tenant org_nobody"),
        (("org_plain", "--replace"), "no proven backup"),
        (("org_plain", "--detached", "--backup", "01X"), "no backup 01X"),
    ):
        ran = stack.run("restore", *arguments)
        assert (ran.status, told in ran.stderr) == (1, True)
    for wrong in (
        ("--detached", "--replace"),
        ("--drop", "clit-x", "--detached"),
        ("--confirm", "org_plain"),
    ):
        assert stack.run("restore", "org_plain", *wrong).status == 64


def test_asked_for_and_not_waited_for(stack: Any) -> None:
    """It returns at once; asked again, the restore that is under way is the answer."""
    noted(stack, "org_later")
    ran = stack.run("restore", "org_later", "--replace", "--no-wait", "--json")
    assert (ran.status, ran.data["status"]) == (0, "active")
    assert ran.data["restore"]["status"] == "wanted"
    again = stack.run("restore", "org_later", "--replace", "--no-wait", "--json").data
    assert again["restore"]["restore_id"] == ran.data["restore"]["restore_id"]
    shown = stack.run("tenants", "show", "org_later", "--json").data
    assert "is being restored beside its data" in shown["what"]
    before = stack.tenant("org_later").database_ulid
    stack.work(lambda: stack.tenant("org_later").database_ulid not in {before, None})
    stack.work(lambda: stack.status("org_later") == "active")
    assert stack.read("org_later", NOTES) == ["of org_later"]


@contextmanager
def without_backups(stack: Any) -> Iterator[None]:
    """The bucket has lost its backups for a while."""
    s3, bucket = stack.aws("s3"), stack.settings.bucket_name
    found = s3.list_object_versions(Bucket=bucket, Prefix="backups/")["Versions"]
    kept = {
        each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found
    }
    for each in found:
        s3.delete_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])
    yield
    for key, body in kept.items():
        s3.put_object(Bucket=bucket, Key=key, Body=body)


def test_a_backup_that_is_gone_brings_nothing_back(stack: Any) -> None:
    """The restore is refused, the line says why, and the tenant says what to do."""
    noted(stack, "org_lost")
    with without_backups(stack), working(stack):
        ran = stack.run("restore", "org_lost", "--detached", "--json")
    assert ran.status == 1
    assert "no longer holds this backup" in ran.data["error"]
    assert ran.data["restore"]["status"] == "refused"
    assert stack.status("org_lost") == "active"
