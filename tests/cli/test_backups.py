"""`d1fleet backup`, `backups`: a tenant's data in a file, or proven in the bucket."""

import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import working

pytestmark = pytest.mark.workerd

FIELDS = {
    *["backup_id", "created_at", "status", "reason", "refused_because", "proven", "size", "sha256"],
    *["expires_at", "proven_at", "method", "tables", "rows", "bookmark", "key"],
}


@pytest.fixture
def noted(stack: Any) -> str:
    """A tenant with two notes."""
    if stack.status("org_backup") == "unknown":
        stack.active("org_backup")
        stack.write("org_backup", "INSERT INTO notes (text) VALUES ('one'), ('two')")
    return "org_backup"


def notes(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY id")]


def test_a_file_that_any_sqlite_tool_opens(stack: Any, noted: str, tmp_path: Path) -> None:
    """It is whole, checked, its owner's alone, and an existing one is kept unless forced."""
    path = tmp_path / "acme.sqlite"
    ran = stack.run("backup", noted, "-o", str(path), "--json")
    assert ran.status == 0, ran.stderr
    assert notes(path) == ["one", "two"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(ran.data) == {"tenant_id", "path", "size", "tables", "rows", "method"}
    assert (ran.data["path"], ran.data["size"]) == (str(path), path.stat().st_size)
    assert [file.name for file in tmp_path.iterdir()] == ["acme.sqlite"]

    path.write_bytes(b"mine")
    ran = stack.run("backup", noted, "-o", str(path))
    assert (ran.status, path.read_bytes()) == (1, b"mine")
    assert "--force" in ran.stderr
    assert stack.run("backup", noted, "-o", str(path), "--force", "--block").status == 0
    assert notes(path) == ["one", "two"]


def test_a_file_of_sql(stack: Any, noted: str, tmp_path: Path) -> None:
    """Its name says that it shall be SQL; it brings the data back in SQLite as it is anywhere."""
    path = tmp_path / "acme.sql"
    assert stack.run("backup", noted, "--output", str(path)).status == 0
    with sqlite3.connect(tmp_path / "again.sqlite") as connection:
        connection.executescript(path.read_text())
    assert notes(tmp_path / "again.sqlite") == ["one", "two"]


def test_what_can_not_be_written_is_said(stack: Any, noted: str, tmp_path: Path) -> None:
    """A missing folder, a tenant without a database, an unknown one; and nothing is left behind."""
    ran = stack.run("backup", noted, "-o", str(tmp_path / "none" / "a.sqlite"))
    assert (ran.status, "no folder" in ran.stderr) == (1, True)
    ran = stack.run("backup", "org_nobody", "-o", str(tmp_path / "a.sqlite"))
    assert (ran.status, "no tenant org_nobody" in ran.stderr) == (1, True)
    ran = stack.run("backup", noted, "-o", str(tmp_path / "a.sqlite"), "--database", "clit-x")
    assert (ran.status, "has no database clit-x" in ran.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []
    for wrong in (["--force"], ["-o", "x", "--no-wait"]):
        assert stack.run("backup", noted, *wrong).status == 64


def test_a_backup_in_the_bucket_is_proven(stack: Any, noted: str) -> None:
    """The command waits until it is; its rows are two notes and the ledger's one."""
    with working(stack):
        ran = stack.run("backup", noted, "--json")
    assert ran.status == 0, ran.stderr
    assert set(ran.data) == FIELDS
    assert (ran.data["proven"], ran.data["reason"], ran.data["rows"]) == (True, "operator", 3)
    [first, *_] = stack.run("backups", noted, "--json").data
    assert first == ran.data
    assert len(first["sha256"]) == 64
    assert first["expires_at"] > first["created_at"]
    assert first["backup_id"] in stack.run("backups", noted).stdout
    shown = stack.run("tenants", "show", noted, "--json").data
    assert shown["last_backup"] == first


def test_not_waiting_returns_at_once(stack: Any, noted: str) -> None:
    """It is wanted; asked again it is the same one; it is proven once the functions had time."""
    ran = stack.run("backup", noted, "--no-wait", "--json")
    assert (ran.status, ran.data["status"], ran.data["proven"]) == (0, "wanted", False)
    again = stack.run("backup", noted, "--no-wait", "--json").data
    assert again["backup_id"] == ran.data["backup_id"]
    state = stack.parts.control.state
    stack.work(lambda: state.backup(again["backup_id"]).settled)
    assert state.backup(again["backup_id"]).status == "proven"


def test_a_backup_that_is_refused_is_a_failure(stack: Any, noted: str) -> None:
    """The line says why, and scripts see its record; a tenant without any has an empty list."""
    s3, bucket = stack.aws("s3"), stack.settings.bucket_name
    off, on = ({"Status": status} for status in ("Suspended", "Enabled"))
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=off)
    try:
        with working(stack):
            ran = stack.run("backup", noted, "--json")
    finally:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=on)
    assert ran.status == 1
    assert "keeps no versions" in ran.data["error"]
    assert ran.data["backup"]["status"] == "refused"
    assert "keeps no versions" in stack.run("backups", noted, "--json").data[0]["refused_because"]
    stack.active("org_bare")
    assert stack.run("backups", "org_bare", "--json").data == []
