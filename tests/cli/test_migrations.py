"""`d1fleet migrations`: checked, pushed for good, and mended when D1 alone could find the fault."""

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.workerd


def push(stack: Any, folder: Path, *more: str) -> Any:
    return stack.run("migrations", "push", str(folder), "--json", *more)


def copy(stack: Any, to: Path, **files: str) -> Path:
    for path in stack.sql.glob("*.sql"):
        (to / path.name).write_text(path.read_text())
    for name, text in files.items():
        (to / f"{name}.sql").write_text(text)
    return to


def test_pushed_files_are_listed(stack: Any) -> None:
    """Each file with its checksum, by whom and when it was pushed."""
    rows = stack.run("migrations", "list", "--json").data
    assert rows[0]["name"] == "0001_notes.sql"
    assert set(rows[0]) == {"name", "sha256", "statements", "size", "pushed_at", "pushed_by"}
    assert rows[0]["pushed_at"].endswith("Z")
    assert "0001_notes.sql" in stack.run("migrations", "list").stdout


def test_pushing_the_same_again_says_so(stack: Any) -> None:
    """Nothing changes, and the status is 0."""
    ran = push(stack, stack.sql)
    assert (ran.status, ran.data["changed"], ran.data["new"]) == (0, False, [])
    said = stack.run("migrations", "push", str(stack.sql)).stdout
    assert "everything was pushed already" in said


def test_every_fault_is_printed_with_its_place(stack: Any, tmp_path: Path) -> None:
    """People read one line a fault, scripts get them as fields; nothing was pushed."""
    before = stack.run("migrations", "list", "--json").data
    folder = copy(stack, tmp_path, n0009_a="BEGIN;\nCREATE TABEL x (a);\n", n0010_b="SELECT 1")
    ran = push(stack, folder)
    assert ran.status == 1
    found = {(f["file"], f["line"]) for f in ran.data["findings"] if f["severity"] == "error"}
    assert found == {("n0009_a.sql", 1), ("n0009_a.sql", 2), ("n0010_b.sql", 1)}
    assert 'error: n0009_a.sql:2: near "TABEL": syntax error' in ran.stderr
    assert "nothing was pushed" in ran.stderr
    assert stack.run("migrations", "list", "--json").data == before


def test_history_is_not_rewritten(stack: Any, tmp_path: Path) -> None:
    """An applied file that was edited is refused by name."""
    stack.fill()
    ran = push(stack, copy(stack, tmp_path, **{"0001_notes": "CREATE TABLE other (id);\n"}))
    assert ran.status == 1
    assert "0001_notes.sql: was edited after it was pushed" in ran.data["error"]


def test_a_folder_that_is_not_there_or_empty_is_named(stack: Any, tmp_path: Path) -> None:
    """The line says which folder."""
    assert "is not a folder" in stack.run("migrations", "push", str(tmp_path / "no")).stderr
    assert "has no file" in stack.run("migrations", "push", str(tmp_path)).stderr


def test_a_file_that_only_d1_refuses_stops_the_pool_and_can_be_mended(stack: Any) -> None:
    """The status names file and place, no database is ready with half of it; mended, all go on."""
    stack.fill()
    bad = stack.sql / "0002_tags.sql"
    bad.write_text(
        "CREATE TABLE tags (name TEXT);\n\nINSERT INTO tags VALUES (nobody_has_this(1));\n"
    )
    ran = push(stack, stack.sql)
    assert (ran.status, ran.data["new"]) == (0, ["0002_tags.sql"])
    assert [warning["file"] for warning in ran.data["warnings"]] == ["0002_tags.sql"]
    stack.work(lambda: any(row.reason for row in stack.pools()))
    row = next(r for r in stack.run("pool", "status", "--json").data if r["reason"])
    assert "0002_tags.sql" in row["reason"]
    assert "nobody_has_this" in row["reason"]
    versions = {d.schema_version for d in stack.databases()}
    assert versions == {"0001_notes.sql"}
    stack.run("tenants", "provision", "org_mended")
    stack.work(lambda: stack.status("org_mended") == "failed")

    bad.write_text("CREATE TABLE tags (name TEXT);\nINSERT INTO tags VALUES ('a');\n")
    ran = push(stack, stack.sql)
    assert (ran.status, ran.data["replaced"]) == (0, ["0002_tags.sql"])
    assert "1 tenants have failed" in ran.stderr
    stack.run("tenants", "retry", "--failed")
    stack.work(lambda: stack.status("org_mended") == "active")
    stack.fill()
    stack.work(lambda: {d.schema_version for d in stack.databases()} == {"0002_tags.sql"})
    rows = stack.run("sql", "org_mended", "SELECT name FROM tags", "--json").data
    assert rows == [{"name": "a"}]

    bad.write_text("CREATE TABLE tags (name TEXT);\nINSERT INTO tags VALUES ('b');\n")
    ran = push(stack, stack.sql)
    bad.write_text("CREATE TABLE tags (name TEXT);\nINSERT INTO tags VALUES ('a');\n")
    assert ran.status == 1
    assert "0002_tags.sql: was edited" in ran.data["error"]
