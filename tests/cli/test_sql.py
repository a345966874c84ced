"""`d1fleet sql`: one tenant's database, read-only unless somebody says --write."""

from typing import Any

import pytest

pytestmark = pytest.mark.workerd


def test_rows_are_objects(stack: Any) -> None:
    """What was written with --write is read back; people see a table."""
    stack.active("org_sql")
    wrote = stack.run(
        "sql", "org_sql", "INSERT INTO notes (text) VALUES ('one'), ('two')", "--write", "--json"
    )
    assert (wrote.status, wrote.data) == (0, [])
    assert "2 rows changed" in wrote.stderr
    read = stack.run("sql", "org_sql", "SELECT id, text FROM notes ORDER BY id", "--json")
    assert read.data == [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
    assert "two" in stack.run("sql", "org_sql", "SELECT text FROM notes").stdout
    empty = stack.run("sql", "org_sql", "SELECT * FROM notes WHERE id > 9")
    assert (empty.status, empty.stdout, empty.stderr) == (0, "", "no rows\n")


def test_writing_needs_the_word(stack: Any) -> None:
    """Without --write nothing reaches the database; with it the history says who wrote."""
    stack.active("org_one")
    for sql in ("DELETE FROM notes", "SELECT 1; DELETE FROM notes", "PRAGMA foreign_keys = off"):
        assert stack.run("sql", "org_one", sql).status == 1
    lines = stack.run("tenants", "history", "org_one", "--json").data
    assert "sql --write" not in [line["what"] for line in lines]
    stack.run("sql", "org_one", "INSERT INTO notes (text) VALUES ('secret')", "--write")
    lines = stack.run("tenants", "history", "org_one", "--json").data
    assert lines[0]["what"] == "sql --write"
    assert lines[0]["who"].startswith("operator:")
    assert "secret" not in str(lines)


def test_several_statements_run_as_one_transaction(stack: Any) -> None:
    """A failing one takes the others back, and the line has SQLite's words."""
    stack.active("org_one")
    script = "INSERT INTO notes (text) VALUES ('taken back'); INSERT INTO nowhere VALUES (1);"
    ran = stack.run("sql", "org_one", script, "--write", "--json")
    assert ran.status == 1
    assert "no such table: nowhere" in ran.data["error"]
    count = "SELECT count(*) AS n FROM notes WHERE text = 'taken back'"
    assert stack.run("sql", "org_one", count, "--json").data == [{"n": 0}]


def test_control_characters_do_not_reach_the_terminal(stack: Any) -> None:
    """What a customer stored can't move the cursor; JSON has it escaped."""
    stack.active("org_one")
    stack.run("sql", "org_one", "INSERT INTO notes (text) VALUES (char(27) || '[2J')", "--write")
    select = "SELECT text FROM notes WHERE text LIKE '%[2J'"
    ran = stack.run("sql", "org_one", select)
    assert "\x1b" not in ran.stdout
    ran = stack.run("sql", "org_one", select, "--json")
    assert ran.data == [{"text": "\x1b[2J"}]
    assert "\x1b" not in ran.stdout


def test_a_tenant_without_a_database_is_said_to_have_none(stack: Any) -> None:
    """Nothing is asked of Cloudflare for a tenant that is not there, or waits."""
    assert "there is no tenant" in stack.run("sql", "org_none", "SELECT 1").stderr
