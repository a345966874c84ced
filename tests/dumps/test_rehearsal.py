"""Migrations tried on a copy of what a backup holds."""

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from shared.domain.migrations import MigrationFile
from shared.dumps import NotRestorable, rehearse


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A database with two notes that are alike, and a ledger that names its first file."""
    path = tmp_path / "copy.sqlite"
    with closing(apsw.Connection(str(path))) as made:
        made.execute("CREATE TABLE notes (text TEXT)")
        made.execute("INSERT INTO notes VALUES ('a'), ('a')")
        made.execute("CREATE TABLE d1_migrations (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        made.execute("INSERT INTO d1_migrations (name) VALUES ('0001_notes.sql')")
    return path


def file(name: str, *statements: str) -> MigrationFile:
    lines = tuple(range(1, len(statements) + 1))
    return MigrationFile(name, "0" * 64, statements, lines)


FIRST = file("0001_notes.sql", "CREATE TABLE notes (text TEXT)")


def test_what_its_ledger_names_is_not_applied_again(copy: Path) -> None:
    """Only what is new is tried, in order, and one may stand on the one before."""
    added = file("0002_stars.sql", "ALTER TABLE notes ADD COLUMN stars INTEGER DEFAULT 0")
    index = file("0003_index.sql", "CREATE INDEX by_stars ON notes (stars)")
    rehearse(copy, (FIRST, added, index))


def test_data_that_takes_no_migration_is_named(copy: Path) -> None:
    """The file and the line, and what SQLite says of it."""
    unique = file("0002_unique.sql", "SELECT 1", "CREATE UNIQUE INDEX one ON notes (text)")
    with pytest.raises(NotRestorable, match=r"0002_unique\.sql, line 2: .*UNIQUE"):
        rehearse(copy, (FIRST, unique))


def test_one_without_a_ledger_gets_all(tmp_path: Path) -> None:
    """A database that never saw a migration is tried with every one."""
    path = tmp_path / "bare.sqlite"
    apsw.Connection(str(path)).close()
    path.touch()
    rehearse(path, (FIRST,))
    with pytest.raises(NotRestorable, match="already exists"):
        rehearse(path, (FIRST,))


def test_no_migration_reaches_another_file(copy: Path, tmp_path: Path) -> None:
    """The function's disk has others' work on it."""
    attach = file("0002_attach.sql", f"ATTACH '{tmp_path}/other' AS other")
    with pytest.raises(NotRestorable, match="0002_attach"):
        rehearse(copy, (FIRST, attach))
    assert not (tmp_path / "other").exists()
