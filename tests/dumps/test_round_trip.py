"""From a file through a dump into another file: everything comes back, exactly."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import pytest

from shared.dumps import (
    CannotDump,
    NotRestorable,
    check_integrity,
    differences,
    digest_live,
    digest_of,
    load_sql,
    reading,
    take_snapshot,
    write_dump,
)
from shared.dumps.questions import Budget
from shared.errors import Transient
from tests.dumps import nasty

CUT = "SELECT 'a\r\nb'"
Make = Callable[[Sequence[str]], Path]


def test_the_nasty_database_comes_back(make: Make, as_live: Any, tmp_path: Path) -> None:
    """Snapshot, dump and load give the digest of the source, and the same dump once more."""
    live, snapshot, back = as_live(make(nasty.STATEMENTS)), tmp_path / "s", tmp_path / "b"
    took = take_snapshot(live, snapshot)
    assert not took.consistent  # it has values of a megabyte
    dump = b"".join(write_dump(snapshot))
    count = load_sql([dump], back, limits=True)
    check_integrity(back)
    before, after = digest_live(live), digest_of(back)
    assert differences(before, after) == ()
    assert before == after
    assert before.rows >= took.rows - len(before.sequences) > 60
    assert b"".join(write_dump(back)) == dump
    assert dump.splitlines()[-1].split()[:3] == [b"--", b"end", str(count).encode()]
    assert b"\r" not in dump


def test_row_numbers_are_kept(make: Make, tmp_path: Path) -> None:
    """Also where they are no column: a search index may refer to them, or the app."""
    path = make(nasty.STATEMENTS)
    load_sql(write_dump(path), tmp_path / "b", limits=True)
    for query in (
        "SELECT rowid, v FROM far ORDER BY 1",
        "SELECT rowid, c0 FROM c1 ORDER BY 1",
        "SELECT _rowid_, x FROM shadowing ORDER BY 1",
        "SELECT rowid, * FROM letters ORDER BY 1",
    ):
        before, after = (
            apsw.Connection(str(one)).execute(query).fetchall() for one in (path, tmp_path / "b")
        )
        assert before == after
        assert before


@pytest.mark.parametrize(("searched", "equal"), [(False, True), (True, False)])
def test_row_numbers_count_where_a_search_index_refers_to_them(
    searched: bool, equal: bool, make: Make
) -> None:
    """Elsewhere they are SQLite's own, and a dump that gives them anew is as good."""
    schema = ["CREATE TABLE t (a)"]
    if searched:
        schema.append('CREATE VIRTUAL TABLE s USING fts5(a, content = "t")')
    one = make([*schema, "INSERT INTO t (rowid, a) VALUES (1, 'x'), (2, 'y')"])
    other = make([*schema, "INSERT INTO t (rowid, a) VALUES (1, 'x'), (7, 'y')"])
    assert (differences(digest_of(one), digest_of(other)) == ()) is equal


def test_a_long_value_that_changes_meanwhile_is_read_again_later(
    make: Make, as_live: Any, tmp_path: Path
) -> None:
    """Its pieces would be of two values: that is trouble that passes, and no snapshot."""
    path = make(["CREATE TABLE t (a)", "INSERT INTO t VALUES (zeroblob(1000000))"])
    live = as_live(path)

    class Changing:
        def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
            if "substr(" in statements[0]:
                writer = apsw.Connection(str(path))
                writer.execute("UPDATE t SET a = 'short'")
                writer.close()
            return live.rows(statements)  # type: ignore[no-any-return]

    with pytest.raises(Transient, match="table t was changed"):
        take_snapshot(Changing(), tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_a_row_that_moves_between_pages_is_trouble_that_passes(
    make: Make, as_live: Any, tmp_path: Path
) -> None:
    """A unique value that is read twice, under two numbers, is no snapshot and no bug."""
    path = make(
        ["CREATE TABLE t (a UNIQUE)", "INSERT INTO t VALUES (1), (zeroblob(1000000)), (3), (4)"]
    )
    live = as_live(path)

    class Moving:
        def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
            if "substr(" in statements[0]:
                writer = apsw.Connection(str(path))
                writer.execute("UPDATE t SET rowid = 99 WHERE a = 1")
                writer.close()
            return live.rows(statements)  # type: ignore[no-any-return]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "PAGE", Budget(2, 10_000_000))
        with pytest.raises(Transient, match="table t was changed"):
            take_snapshot(Moving(), tmp_path / "s")


def test_rows_that_a_check_refuses_stop_the_proof(make: Make, as_live: Any, tmp_path: Path) -> None:
    """A live row may be older than the rule that it breaks; D1's import would refuse it."""
    path = make(["CREATE TABLE t (a CHECK (a > 0))"])
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA ignore_check_constraints = ON; INSERT INTO t VALUES (-1)")
    connection.close()
    take_snapshot(as_live(path), tmp_path / "s")
    with pytest.raises(NotRestorable, match="statement 3 of the dump: CHECK constraint failed"):
        load_sql(write_dump(tmp_path / "s"), tmp_path / "b", limits=True)


def test_an_empty_database_comes_back(make: Make, as_live: Any, tmp_path: Path) -> None:
    """No table is no reason to fail."""
    live = as_live(make([]))
    assert take_snapshot(live, tmp_path / "s").consistent
    dump = b"".join(write_dump(tmp_path / "s"))
    assert load_sql([dump], tmp_path / "b", limits=True) == 1
    assert differences(digest_live(live), digest_of(tmp_path / "b")) == ()


def test_a_small_database_is_read_in_one_transaction(
    make: Make, as_live: Any, tmp_path: Path
) -> None:
    """Three calls, of which the last reads schema and all rows, and `at_once` is the bound."""
    path = make(["CREATE TABLE a (x)", "CREATE TABLE b (y)", "INSERT INTO a VALUES (1), ('two')"])
    live = as_live(path)
    calls: list[Sequence[str]] = []

    class Counting:
        def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
            calls.append(statements)
            return live.rows(statements)  # type: ignore[no-any-return]

    assert take_snapshot(Counting(), tmp_path / "s").consistent
    assert [len(statements) for statements in calls] == [1, 2, 3]
    assert not take_snapshot(Counting(), tmp_path / "s", at_once=10).consistent
    assert differences(digest_of(path), digest_of(tmp_path / "s")) == ()


def test_no_statement_is_longer_than_d1_takes(make: Make, tmp_path: Path) -> None:
    """Long rows become several statements, and rows of many values several too."""
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) "
    path = make(
        [
            "CREATE TABLE t (a, b, c)",
            f"INSERT INTO t SELECT i, NULL, 0 FROM ({many} SELECT i FROM n)",
            f"INSERT INTO t VALUES ({nasty.MEGABYTE}, zeroblob(600000), 'x')",
            "INSERT INTO t VALUES (hex(zeroblob(24000)), hex(zeroblob(24000)), zeroblob(30000))",
        ]
    )
    dump = b"".join(write_dump(path))
    load_sql([dump], tmp_path / "b", limits=True)
    assert differences(digest_of(path), digest_of(tmp_path / "b")) == ()
    longest = max(len(part) for part in dump.decode().encode().split(b";\n"))
    assert longest <= 90_000


def test_large_tables_are_sampled_alike(make: Make, tmp_path: Path) -> None:
    """A changed row at an end or at a probe shows, on tables of each kind of key."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
    schema = [
        "CREATE TABLE numbered (id INTEGER PRIMARY KEY, v)",
        "CREATE TABLE implicit (v)",
        "CREATE TABLE texts (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
        "CREATE TABLE pairs (a, b, PRIMARY KEY (a DESC, b)) WITHOUT ROWID",
        f"INSERT INTO numbered SELECT * FROM ({numbers} SELECT i * 1000003, i FROM n)",
        f"INSERT INTO implicit SELECT * FROM ({numbers} SELECT i FROM n)",
        f"INSERT INTO texts SELECT * FROM ({numbers} SELECT 'id_' || hex(i * 7919), i FROM n)",
        f"INSERT INTO pairs SELECT * FROM ({numbers} SELECT i / 10, i FROM n)",
    ]
    path = make(schema)
    load_sql(write_dump(path), tmp_path / "b", limits=True)
    live = digest_of(path, full=100)
    assert all(table.sample is not None for table in live.tables)
    assert differences(live, digest_of(tmp_path / "b", full=100)) == ()
    middle = 2500 * 1000003
    changes = {
        "numbered": f"UPDATE numbered SET v = -1 WHERE id BETWEEN {middle} AND {middle + 10**8}",
        "implicit": "DELETE FROM implicit WHERE rowid = 5000",
        "texts": "UPDATE texts SET v = -1 WHERE k = (SELECT max(k) FROM texts)",
        "pairs": "UPDATE pairs SET b = -1 WHERE a = 0 AND b = 1",
    }
    for table, change in changes.items():
        load_sql(write_dump(path), tmp_path / "b", limits=True)
        connection = apsw.Connection(str(tmp_path / "b"))
        connection.execute(change)
        connection.close()
        (said,) = differences(live, digest_of(tmp_path / "b", full=100))
        assert said.startswith(f"table {table} has ")


@pytest.mark.parametrize(
    ("statements", "reason"),
    [
        (["CREATE VIRTUAL TABLE f USING fts5(a, content='')"], "without content"),
        (["CREATE VIRTUAL TABLE f USING fts5(a, content =)"], "without content"),
        (["CREATE VIRTUAL TABLE r USING rtree(id, a, b)"], "only FTS5"),
        (["CREATE TABLE t (rowid, oid, _rowid_)"], "told apart"),
        (["CREATE TABLE t (a)", f"CREATE TRIGGER x AFTER INSERT ON t BEGIN {CUT}; END"], "char"),
    ],
)
def test_what_can_not_be_carried_is_said(
    statements: Sequence[str], reason: str, make: Make, as_live: Any, tmp_path: Path
) -> None:
    """Nothing is left out silently: the reason says which table and why."""
    path = make(statements)
    with pytest.raises(CannotDump, match=reason):
        take_snapshot(as_live(path), tmp_path / "s")
    with pytest.raises(CannotDump, match=reason):
        b"".join(write_dump(path))
    assert not (tmp_path / "s").exists()
