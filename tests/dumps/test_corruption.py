"""Every way in which a dump can be wrong is refused, or found by comparing digests."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from shared.dumps import (
    NotRestorable,
    check_integrity,
    differences,
    digest_of,
    load_sql,
    write_dump,
)
from shared.dumps.trailer import trailer

Make = Callable[[Sequence[str]], Path]

SOURCE = (
    "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)",
    "CREATE TABLE tags (note INTEGER REFERENCES notes (id), tag TEXT)",
    "CREATE INDEX by_tag ON tags (tag)",
    "CREATE VIEW tagged AS SELECT * FROM tags",
    "CREATE TRIGGER t AFTER INSERT ON notes BEGIN DELETE FROM tags; END",
    "INSERT INTO notes VALUES (1, 'canary-value'), (2, 'two'), (3, 'three')",
    "INSERT INTO tags VALUES (1, 'a'), (2, 'b'), (2, 'b')",
)


@pytest.fixture
def source(make: Make) -> Path:
    return make(SOURCE)


@pytest.fixture
def dump(source: Path) -> bytes:
    return b"".join(write_dump(source))


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[bytes], str]:
    """Return what loads a dump that must be refused, and gives the reason."""

    def refused(dump: bytes) -> str:
        with pytest.raises(NotRestorable) as error:
            load_sql([dump], tmp_path / "loaded", limits=True)
        assert not (tmp_path / "loaded").exists()
        assert "canary" not in error.value.reason
        return error.value.reason

    return refused


def resealed(dump: bytes) -> bytes:
    """Give a changed dump a last line that fits, as somebody could who means it."""
    body = dump[: dump.rindex(b"-- end ")]
    count = int(dump[len(body) :].split()[2])
    return body + trailer(count, hashlib.sha256(body).hexdigest())


def test_a_dump_cut_off_anywhere_is_refused(dump: bytes, refused: Callable[[bytes], str]) -> None:
    """At each byte: in a statement, between two, in the last line, and with nothing left but some.

    Nothing at all is a dump of nothing: the digest tells.
    """
    reasons = {refused(dump[:length]) for length in range(len(b"-- d1fleet dump 1\n"), len(dump))}
    assert any("middle of statement" in reason for reason in reasons)
    assert any("no end" in reason for reason in reasons)


def test_a_flipped_bit_anywhere_is_refused(dump: bytes, refused: Callable[[bytes], str]) -> None:
    """Whatever byte it hits, also in the first and the last line."""
    for at in range(len(dump)):
        changed = bytearray(dump)
        changed[at] ^= 1
        assert refused(bytes(changed))


@pytest.mark.parametrize(
    "change",
    [
        lambda dump: dump.replace(b"(2,'two'),\n", b""),
        lambda dump: dump.replace(b"(2,'two'),\n", b"(2,'two'),\n(9,'two'),\n"),
        lambda dump: dump.replace(b"'two'", b"'owt'"),
        lambda dump: dump.replace(b"CREATE INDEX by_tag ON tags (tag);\n", b""),
        lambda dump: dump.replace(b"-- d1fleet dump 1\n", b""),
        lambda dump: dump + b"SELECT 1;\n",
        lambda dump: dump + dump,
        lambda dump: dump.replace(b"\n", b"\r\n"),
    ],
)
def test_a_changed_dump_is_refused(
    change: Callable[[bytes], bytes], dump: bytes, refused: Callable[[bytes], str]
) -> None:
    """Rows removed, added or changed, a definition or the first line missing, lines appended."""
    assert change(dump) != dump
    assert refused(change(dump))


def test_a_last_line_that_counts_wrongly_is_refused(
    dump: bytes, refused: Callable[[bytes], str]
) -> None:
    """The number of statements is part of what the last line says."""
    body = dump[: dump.rindex(b"-- end ")]
    wrong = body + trailer(3, hashlib.sha256(body).hexdigest())
    assert re.search(r"has \d+ statements, and its last line says 3", refused(wrong))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b",\n(3,'three')", b"", "table notes has 2 rows, not 3"),
        (b"(2,'two'),\n", b"(2,'two'),\n(4,'two'),\n", "table notes has 4 rows, not 3"),
        (b"'two'", b"'owt'", "table notes has other content"),
        (b"(3,2,'b')", b"(3,2,'B')", "table tags has other content"),
        (b"CREATE INDEX by_tag ON tags (tag);", b"SELECT 1;", "index by_tag is missing"),
        (b"CREATE VIEW tagged AS", b"CREATE VIEW tagging AS", "view tagged is missing"),
        (b"DELETE FROM tags; END", b"DELETE FROM notes; END", "trigger t is defined differently"),
        (b"CREATE TRIGGER t", b"CREATE TRIGGER u", "trigger t is missing"),
    ],
)
def test_a_change_under_a_fitting_seal_is_found(
    old: bytes, new: bytes, said: str, source: Path, dump: bytes, tmp_path: Path
) -> None:
    """Even a dump that is sealed anew is compared with what the live database holds."""
    assert old in dump
    load_sql([resealed(dump.replace(old, new))], tmp_path / "loaded", limits=True)
    assert said in differences(digest_of(source), digest_of(tmp_path / "loaded"))


def test_the_dump_of_another_database_is_found(source: Path, make: Make, tmp_path: Path) -> None:
    """A dump of the same schema and other rows restores, but not to this database."""
    other = make([*SOURCE[:-1], "INSERT INTO tags VALUES (3, 'c')"])
    load_sql(write_dump(other), tmp_path / "loaded", limits=True)
    said = differences(digest_of(source), digest_of(tmp_path / "loaded"))
    assert said == ("table tags has 1 rows, not 3",)


@pytest.mark.parametrize(
    "statement",
    [
        "ATTACH DATABASE '{path}/evil.sqlite' AS evil",
        "VACUUM INTO '{path}/evil.sqlite'",
        "DETACH DATABASE main",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA temp_store_directory = '{path}/evil.sqlite'",
        "SELECT load_extension('{path}/evil.so')",
        "SELECT fts3_tokenizer('simple')",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "CREATE TEMP TABLE t (a)",
        "CREATE VIRTUAL TABLE v USING dbstat",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    ],
)
def test_a_foreign_dump_touches_nothing_but_its_file(
    statement: str, refused: Callable[[bytes], str], tmp_path: Path
) -> None:
    """Nothing is attached, loaded, set or committed, and nothing runs for ever."""
    sql = f"CREATE TABLE t (a);\n{statement.format(path=tmp_path)};\n"
    assert refused(sql.encode()).startswith("statement 2 of the dump: ")
    assert not (tmp_path / "evil.sqlite").exists()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("INSERT INTO t VALUES ('" + "canary" * 17_000 + "');", "and D1 takes 100,000"),
        ("SELECT length(zeroblob(2200001));", "longer than D1 takes"),
        (f"CREATE TABLE w ({','.join(f'c{n}' for n in range(101))});", "does not take it"),
        ("INSERT INTO t VALUES ('canary', 'canary');", "does not take it"),
        ("INSERT INTO canary VALUES (1);", "does not take it"),
        ("SELEC 'canary';", "does not take it"),
        ("CREATE TABLE u (a UNIQUE); INSERT INTO u VALUES (7), (7);", "UNIQUE constraint failed"),
        (
            "PRAGMA defer_foreign_keys=ON; INSERT INTO c VALUES (5);",
            "refers to one that is not in it",
        ),
        ("INSERT INTO t VALUES ('\xff');", "is not UTF-8"),
        ("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1;", "middle of statement 3"),
        ("INSERT INTO t VALUES ('canary", "middle of statement 3"),
        ("SELECT 1 /* canary", "middle of statement 3"),
    ],
)
def test_what_d1_would_refuse_is_refused(
    sql: str, said: str, refused: Callable[[bytes], str]
) -> None:
    """Limits, constraints and damage are told by the statement's number, never by its content."""
    begin = "CREATE TABLE t (a PRIMARY KEY); CREATE TABLE c (a REFERENCES t (a)); "
    assert said in refused((begin + sql).encode("latin-1"))


def test_without_limits_a_long_statement_is_taken(tmp_path: Path) -> None:
    """D1's own export may hold one: it is loaded to be written anew."""
    sql = f"CREATE TABLE t (a);\nINSERT INTO t VALUES ('{'x' * 200_000}');\n"
    assert load_sql([sql.encode()], tmp_path / "loaded", limits=False) == 2


def test_a_statement_without_end_does_not_fill_the_memory(tmp_path: Path) -> None:
    """A dump that lost its quotes is given up, not read into memory whole."""
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b"INSERT INTO t VALUES ('"
        while True:
            taken += 1
            yield b"x" * 1_000_000

    with pytest.raises(NotRestorable, match="has no end"):
        load_sql(endless(), tmp_path / "loaded", limits=False)
    assert taken < 20


def test_a_damaged_file_is_no_proof(source: Path, tmp_path: Path) -> None:
    """Integrity and foreign keys are checked, and what is no SQLite file is told."""
    check_integrity(source)
    data = bytearray(source.read_bytes())
    (tmp_path / "torn").write_bytes(data[:-4096])
    with pytest.raises(NotRestorable):
        check_integrity(tmp_path / "torn")
    (tmp_path / "text").write_bytes(b"no database, but long enough to look at" * 100)
    for look in (check_integrity, digest_of):
        with pytest.raises(NotRestorable, match="can't read"):
            look(tmp_path / "text")
    with pytest.raises(FileNotFoundError):
        check_integrity(tmp_path / "missing")
    connection = apsw.Connection(str(source))
    connection.execute("DELETE FROM notes WHERE id = 2")
    connection.execute("INSERT INTO tags VALUES (8, 'x')")
    connection.close()
    with pytest.raises(NotRestorable, match="foreign keys of tags"):
        check_integrity(source)


def test_a_failed_load_leaves_nothing_and_replaces_what_was_there(
    dump: bytes, tmp_path: Path
) -> None:
    """Half a file is never taken for a whole one, and an old one never for the new."""
    path = tmp_path / "loaded"
    path.write_bytes(b"an older attempt")
    load_sql([dump], path, limits=True)
    before = digest_of(path)
    load_sql([dump], path, limits=True)
    assert digest_of(path) == before
    with pytest.raises(NotRestorable):
        load_sql([dump[:-1]], path, limits=True)
    assert not path.exists()
