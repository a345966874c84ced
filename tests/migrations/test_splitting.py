"""SQL is cut where SQLite itself cuts it."""

import sqlite3
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.sql import split

TRIGGER = """CREATE TRIGGER touch AFTER UPDATE ON notes BEGIN
  UPDATE notes SET n = CASE WHEN new.n > 1 THEN 1 ELSE 2 END WHERE id = new.id;
  DELETE FROM notes WHERE text = 'END;';
END;"""


def texts(sql: str) -> list[str]:
    return [statement.text for statement in split(sql)[0]]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1; SELECT 2;", ["SELECT 1;", "SELECT 2;"]),
        ("SELECT ';';", ["SELECT ';';"]),
        ("SELECT 'it''s; fine';", ["SELECT 'it''s; fine';"]),
        ('SELECT ";", [;], `;`;', ['SELECT ";", [;], `;`;']),
        ("-- one; two\nSELECT 1;", ["SELECT 1;"]),
        ("/* one; */ SELECT /* ; */ 1; -- done;", ["SELECT /* ; */ 1;"]),
        (";;  ;\n;", []),
        ("", []),
        (TRIGGER, [TRIGGER]),
        ("EXPLAIN " + TRIGGER, ["EXPLAIN " + TRIGGER]),
        (
            "create temp trigger t begin select 1; end;",
            ["create temp trigger t begin select 1; end;"],
        ),
        ("CREATE TABLE trigger_log (a); SELECT 1;", ["CREATE TABLE trigger_log (a);", "SELECT 1;"]),
    ],
)
def test_statements_end_where_sqlite_ends_them(sql: str, expected: list[str]) -> None:
    """Quotes, comments and triggers hold their semicolons; empty statements vanish."""
    assert texts(sql) == expected
    assert split(sql)[1] is None


def test_lines_are_those_of_the_first_token() -> None:
    """A statement's line is where its own text begins, not the comment above it."""
    statements, _ = split("-- one\nSELECT 1;\n\n/* a\nb */ SELECT\n2; SELECT 3;")
    assert [statement.line for statement in statements] == [2, 5, 6]


@pytest.mark.parametrize(
    ("sql", "line", "words"),
    [
        ("SELECT 1", 1, "semicolon"),
        ("SELECT 1;\nSELECT 'a;", 2, "string"),
        ("SELECT 1;\n\n/* a;", 3, "comment"),
        ('SELECT "a', 1, "name"),
        ("CREATE TRIGGER t BEGIN\nSELECT 1;", 1, "END"),
    ],
)
def test_what_is_left_over_is_named(sql: str, line: int, words: str) -> None:
    """The rest says where it begins and what is missing."""
    rest = split(sql)[1]
    assert rest is not None
    assert rest.line == line
    assert words in rest.problem


FRAGMENTS = st.sampled_from(
    [
        *[" ", "\n", ";", ";;", "'", '"', "`", "[", "]", "--", "-", "/*", "*/", "/", "*", "(", ")"],
        *["CREATE", "create", "TEMP", "TEMPORARY", "TRIGGER", "trigger", "EXPLAIN", "QUERY PLAN"],
        *["BEGIN", "END", "end", "SELECT", "1", "x'ab'", "é", "$a", "_END", "END1", "t", "\t"],
    ]
)


@settings(max_examples=1500, deadline=None)
@given(st.lists(FRAGMENTS, max_size=40).map("".join))
def test_any_text_is_cut_as_sqlite_would(text: str) -> None:
    """Feeding SQLite's own judge up to each semicolon finds the same statements."""
    expected: list[str] = []
    start = 0
    for index, character in enumerate(text):
        if character == ";" and sqlite3.complete_statement(text[start : index + 1]):
            expected.append(text[start : index + 1])
            start = index + 1
    found, rest = split(text)
    assert [s.text for s in found] == [
        cut for piece in expected for cut in [s.text for s in split(piece)[0]]
    ]
    for statement in found:
        assert sqlite3.complete_statement(statement.text)
    whole = [piece for piece in expected if not _nothing(piece)]
    assert len(found) == len(whole)
    assert all(piece.endswith(s.text) for piece, s in zip(whole, found, strict=True))
    left = text[start:]
    if rest is None:
        assert sqlite3.complete_statement(";" + left)
    else:
        assert not sqlite3.complete_statement(";" + left)


def _nothing(piece: str) -> bool:
    """Say whether SQLite finds no statement in a piece (comments, space and a semicolon)."""
    return sqlite3.complete_statement(";" + piece[:-1])


TABLES = ["a", "b", "c"]
STATEMENTS = st.one_of(
    st.sampled_from(
        [f"INSERT INTO {t} VALUES ('x;y', 'it''s -- not /* a comment');" for t in TABLES]
    ),
    st.sampled_from([f"UPDATE {t} SET \"one\" = one || '/*;*/';" for t in TABLES]),
    st.builds(
        "CREATE TRIGGER IF NOT EXISTS {0}{1} AFTER INSERT ON {0} BEGIN\n"
        "  UPDATE {0} SET two = CASE WHEN one = ';' THEN 1 ELSE {1} END; -- END;\n"
        "  SELECT 1;\nEND;".format,
        st.sampled_from(TABLES),
        st.integers(0, 9),
    ),
    st.sampled_from(["-- a comment;\n", "/* another; */", ";", "  \n", "DELETE FROM a;"]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STATEMENTS, max_size=12).map(" ".join))
def test_running_the_pieces_is_running_the_script(script: str) -> None:
    """Executing each piece alone leaves the database that executescript leaves."""
    setup = "".join(f"CREATE TABLE {t} (one TEXT, two TEXT);" for t in TABLES)
    at_once, in_pieces = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    try:
        at_once.executescript(setup + script)
        for statement in split(setup + script)[0]:
            in_pieces.execute(statement.text).close()
        assert [*at_once.iterdump()] == [*in_pieces.iterdump()]
    finally:
        at_once.close()
        in_pieces.close()


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO t VALUES ('" + ";" * 400_000 + "');",
        "SELECT 1;" * 50_000,
        "CREATE TRIGGER t BEGIN " + "SELECT 1;" * 50_000,
        "SELECT '" * 100_001,
        "/*" * 200_000,
    ],
)
def test_big_files_take_no_quadratic_time(text: str) -> None:
    """Half a megabyte of semicolons is cut in seconds, not minutes."""
    began = time.process_time()
    split(text)
    assert time.process_time() - began < 5
