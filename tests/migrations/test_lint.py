"""What D1 would refuse is found before any database sees it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.migration_lint import lint, read_migrations, try_out
from shared.domain.migrations import Finding, read_migration


def of(text: str, name: str = "0001_a.sql") -> tuple[Finding, ...]:
    return lint([read_migration(name, text)])


def errors(findings: tuple[Finding, ...]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("CREATE TABLE t (a);\nBEGIN;\nSELECT 1;", 2, "remove BEGIN"),
        ("SELECT 1;\n\n-- why\nROLLBACK;", 4, "remove ROLLBACK"),
        ("SAVEPOINT a;", 1, "remove SAVEPOINT"),
        ("RELEASE a;", 1, "remove RELEASE"),
        ("END;", 1, "remove END"),
        ("ATTACH '/tmp/x' AS x;", 1, "no ATTACH"),
        ("detach x;", 1, "no DETACH"),
        ("VACUUM INTO '/tmp/x';", 1, "no VACUUM"),
        ("PRAGMA journal_mode = wal;", 1, "PRAGMA journal_mode"),
        ('PRAGMA main."user_version" = 3;', 1, "PRAGMA user_version"),
        ("CREATE TEMP TABLE t (a);", 1, "without TEMP"),
        ("CREATE TABLE t (a);\nDELETE FROM\n  d1_migrations;", 3, "d1_migrations"),
        ('INSERT INTO "D1_Migrations" (name) VALUES (1);', 1, "d1_migrations"),
        ("SELECT * FROM [_cf_KV];", 1, "_cf_kv"),
        ("SELECT 1;\nSELECT 2", 2, "semicolon"),
        ("-- Migration number: 0001\n", 1, "no statement"),
        ("", 1, "no statement"),
        ("SELECT 1;\nSELECT '\0';", 2, "NUL"),
        (f"SELECT 1;\nSELECT '{'x' * 100_000}';", 2, "100000"),
        ("SELECT 1;\n" * 901, 901, "901 statements"),
    ],
)
def test_what_d1_refuses_is_named_with_its_line(text: str, line: int, words: str) -> None:
    """Each refusal has the file, the line and what to do."""
    [finding] = errors(of(text))
    assert (finding.file, finding.line) == ("0001_a.sql", line)
    assert words in finding.message


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE t (a);\nCREATE TRIGGER x AFTER INSERT ON t BEGIN\n SELECT 1;\nEND;",
        "INSERT OR ROLLBACK INTO t VALUES (1);",
        "SELECT 'BEGIN; COMMIT; d1_migrations; _cf_x';",
        "-- BEGIN\n/* ATTACH */ SELECT 1;",
        "PRAGMA defer_foreign_keys = on;",
        "PRAGMA table_info(t);",
        "CREATE VIRTUAL TABLE f USING fts5(a);",
        "SELECT 1;\n" * 900,
        f"SELECT '{'x' * 99_990}';",
        "\ufeffSELECT 1;\r\n",
        'CREATE TABLE "beginning" ("end" TEXT);',
    ],
)
def test_what_d1_takes_is_not_refused(text: str) -> None:
    """The lint refuses nothing that works."""
    assert errors(of(text)) == []


def test_switching_foreign_keys_off_is_warned_about() -> None:
    """SQLite ignores that pragma inside a transaction, and a migration always is in one."""
    [finding] = of("PRAGMA foreign_keys = OFF;")
    assert finding.severity == "warning"
    assert "defer_foreign_keys" in finding.message


@pytest.mark.parametrize("name", ["a.txt", "a\nb.sql", "x\\y.sql", "../a.sql", "x" * 200 + ".sql"])
def test_strange_names_are_refused(name: str) -> None:
    """A name that a ledger or a shell could choke on is refused."""
    assert "name" in errors(of("SELECT 1;", name))[0].message


def test_two_files_of_one_number_are_warned_about() -> None:
    """Wrangler runs both, in the order of their names; people seldom mean it."""
    files = [
        read_migration(name, "SELECT 1;") for name in ("0001_a.sql", "1_b.sql", "x.sql", "y.sql")
    ]
    [finding] = lint(files)
    assert (finding.severity, finding.file) == ("warning", "1_b.sql")


def test_files_come_in_wranglers_order() -> None:
    """Leading numbers count as numbers, segment by segment; unnumbered names come last."""
    names = [
        "b.sql",
        "10_a.sql",
        "9_a.sql",
        "a.sql",
        "0009_b.sql",
        "2_x/migration.sql",
        "11_x/1.sql",
    ]
    migrations, _ = read_migrations(dict.fromkeys(names, "SELECT 1;"))
    assert [m.name for m in migrations] == [
        *["2_x/migration.sql", "0009_b.sql", "9_a.sql", "10_a.sql", "11_x/1.sql", "a.sql", "b.sql"]
    ]


def test_a_file_that_is_not_utf8_is_reported() -> None:
    """The line of the first wrong byte is named; the other files are still read."""
    migrations, [finding] = read_migrations({"1.sql": b"SELECT 1;\n'\xff'", "2.sql": b"SELECT 1;"})
    assert (finding.file, finding.line) == ("1.sql", 2)
    assert [m.name for m in migrations] == ["2.sql"]


def trial(*texts: str) -> tuple[Finding, ...]:
    return try_out([read_migration(f"{n:04}.sql", text) for n, text in enumerate(texts, 1)])


def test_a_syntax_error_is_found_with_file_and_line() -> None:
    """Every syntax error is an error, also the second one of a file."""
    found = errors(trial("CREATE TABLE t (a);", "\nCREATE TABEL x (a);\nSELECT 1;\nSELEC 2;"))
    assert [(f.file, f.line) for f in found] == [("0002.sql", 2), ("0002.sql", 4)]
    assert 'near "TABEL": syntax error' in found[0].message


def test_a_hundred_and_one_columns_are_too_many() -> None:
    """D1 takes a hundred columns a table."""
    columns = ", ".join(f"c{n}" for n in range(101))
    assert "too many columns" in errors(trial(f"CREATE TABLE t ({columns});"))[0].message
    assert trial(f"CREATE TABLE t ({columns.rsplit(',', 1)[0]});") == ()


def test_what_may_be_this_machines_fault_only_warns_and_once() -> None:
    """An unknown function is for D1 to judge, and what follows from it is not reported."""
    [finding] = trial(
        "CREATE TABLE t AS SELECT nobody_has_this(1) AS a;", "INSERT INTO t VALUES (1);"
    )
    assert finding.severity == "warning"
    assert finding.file == "0001.sql"


def test_later_files_see_what_earlier_ones_made() -> None:
    """The files run in order on one database."""
    assert trial("CREATE TABLE t (a);", "INSERT INTO t VALUES (1);", "DROP TABLE t;") == ()


def test_references_broken_at_the_end_are_warned_about() -> None:
    """Deferred foreign keys are checked when the file ends, as in D1's batch."""
    schema = "CREATE TABLE p (a PRIMARY KEY); CREATE TABLE c (a REFERENCES p);"
    mended = "PRAGMA defer_foreign_keys = on; INSERT INTO c VALUES (1); INSERT INTO p VALUES (1);"
    assert trial(schema, mended) == ()
    [finding] = trial(schema, "PRAGMA defer_foreign_keys = on; INSERT INTO c VALUES (1);")
    assert "FOREIGN KEY" in finding.message


@pytest.mark.parametrize(
    "text",
    ["ATTACH '{0}' AS x;", "VACUUM INTO '{0}';", "PRAGMA journal_mode = wal;", "COMMIT;", "BEGIN;"],
)
def test_a_trial_never_leaves_its_memory(text: str, tmp_path: object) -> None:
    """What the lint refuses does not run in the trial either."""
    target = f"{tmp_path}/outside.sqlite"
    assert trial(text.format(target), "CREATE TABLE t (a);") == ()
    assert not Path(target).exists()


def test_an_endless_statement_ends_the_trial() -> None:
    """A statement that never ends is left to D1's own time limit, with a warning."""
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n;"
    )
    [finding] = trial(f"CREATE TABLE t (a);\nINSERT INTO t {endless}")
    assert (finding.severity, finding.line) == ("warning", 2)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_the_checks(text: str) -> None:
    """Whatever a file holds, the checks end with findings, never with a crash."""
    migration = read_migration("0001.sql", text)
    lint([migration])
    try_out([migration])
