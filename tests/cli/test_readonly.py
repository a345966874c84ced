"""Whether a statement only reads is SQLite's word, not a list of keywords."""

import pytest

from ops.program import Failed
from ops.readonly import only_reads

SCHEMA = [
    {"type": "table", "name": "notes", "sql": 'CREATE TABLE notes (id, text, "delete" TEXT)'},
    {"type": "index", "name": "by_text", "sql": "CREATE INDEX by_text ON notes (text)"},
    {"type": "view", "name": "short", "sql": "CREATE VIEW short AS SELECT id FROM notes"},
    {
        "type": "trigger",
        "name": "watch",
        "sql": "CREATE TRIGGER watch AFTER INSERT ON notes BEGIN SELECT 1; END",
    },
    {"type": "table", "name": "words_data", "sql": "CREATE TABLE 'words_data'(id, block)"},
    {"type": "table", "name": "words", "sql": "CREATE VIRTUAL TABLE words USING fts5(text)"},
    {"type": "table", "name": "sqlite_sequence", "sql": "CREATE TABLE sqlite_sequence(name,seq)"},
    {"type": "table", "name": "odd", "sql": "CREATE VIRTUAL TABLE odd USING nobody_has_this(a)"},
]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM notes",
        "select count(*) from short;",
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3) SELECT * FROM n",
        "VALUES (1), (2)",
        'SELECT "delete" FROM notes',
        "SELECT 'DROP TABLE notes; --' AS text",
        "-- DELETE FROM notes\nSELECT 1 -- and no more",
        "SELECT * FROM notes INDEXED BY by_text WHERE text = 'a'",
        "SELECT * FROM words WHERE words MATCH 'a'",
        "PRAGMA table_info(notes)",
        "PRAGMA foreign_keys",
        "SELECT * FROM pragma_table_info('notes')",
        "EXPLAIN QUERY PLAN SELECT * FROM notes",
    ],
)
def test_reading_passes(sql: str) -> None:
    """What reads is returned as one statement, with nothing before or after it."""
    statement = only_reads(sql, SCHEMA)
    assert statement.endswith(";")
    assert not statement.startswith("--")


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM notes",
        "INSERT INTO notes VALUES (1, 2, 3) RETURNING id",
        "WITH x AS (SELECT 1) INSERT INTO notes SELECT 1, 2, 3",
        "UPDATE notes SET id = 1 WHERE 0",
        "REPLACE INTO notes VALUES (1, 2, 3)",
        "EXPLAIN DELETE FROM notes",
        "CREATE TABLE IF NOT EXISTS notes (a)",
        "CREATE TEMP TABLE x (a)",
        "DROP VIEW short",
        "ALTER TABLE notes RENAME TO n",
        "INSERT INTO words (words) VALUES ('rebuild')",
        "PRAGMA foreign_keys = off",
        "PRAGMA writable_schema(1)",
        "PRAGMA user_version = 3",
        "PRAGMA optimize",
        "PRAGMA journal_mode = wal",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "ATTACH ':memory:' AS x",
        "DETACH x",
        "VACUUM",
        "REINDEX",
        "ANALYZE",
    ],
)
def test_everything_else_is_refused(sql: str) -> None:
    """Also what SQLite calls read-only but changes a connection, a file or a setting."""
    with pytest.raises(Failed, match="--write"):
        only_reads(sql, SCHEMA)


@pytest.mark.parametrize(
    "sql", ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE notes", "", "-- x", ";"]
)
def test_only_one_statement_is_taken(sql: str) -> None:
    """Two statements, or none, are refused before anything else."""
    with pytest.raises(Failed, match="one statement"):
        only_reads(sql, SCHEMA)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM nowhere", "no such table: nowhere"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM odd", "no such table: odd"),
        ("SELECT 'a", "not closed"),
    ],
)
def test_what_can_not_be_judged_is_refused(sql: str, words: str) -> None:
    """Without SQLite's word nothing is sent."""
    with pytest.raises(Failed, match=words):
        only_reads(sql, SCHEMA)
