"""What D1 would refuse in a migration, found before any database sees it.

Two ways, and both only ever read: rules over the tokens, and a trial of all files in order on an
empty database in memory. D1's SQLite is newer than most and has other extensions, so of the trial
only what is certain is an error; the rest is a warning. What D1 allows was tried on its own engine
(workerd 1.20260426.1); its limits are at developers.cloudflare.com/d1/platform/limits.
"""

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from shared.domain.migrations import (
    LEDGER,
    Finding,
    Migration,
    leading_numbers,
    order,
    read_migration,
)
from shared.domain.sql import Statement, Token, tokens

__all__ = ["lint", "read_migrations", "try_out"]

MAX_STATEMENT_BYTES: Final = 100_000
MAX_STATEMENTS: Final = 900
MAX_COLUMNS: Final = 100
MAX_TRIAL_STEPS: Final = 50_000
"""Steps of 1,000 instructions of SQLite's machine that a trial may take: some seconds."""

_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\\]{1,200}\Z")
_TRANSACTION: Final = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"})
_REFUSED: Final = {
    "ATTACH": "D1 has no ATTACH",
    "DETACH": "D1 has no DETACH",
    "VACUUM": "D1 has no VACUUM: it compacts by itself",
}
_PRAGMAS: Final = frozenset(
    {
        "case_sensitive_like",
        "data_version",
        "defer_foreign_keys",
        "foreign_key_check",
        "foreign_key_list",
        "foreign_keys",
        "ignore_check_constraints",
        "index_info",
        "index_list",
        "index_xinfo",
        "legacy_alter_table",
        "optimize",
        "quick_check",
        "recursive_triggers",
        "reverse_unordered_selects",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
_SYNTAX: Final = re.compile(r"syntax error|incomplete input|unrecognized token")


def read_migrations(
    files: Mapping[str, str | bytes],
) -> tuple[tuple[Migration, ...], tuple[Finding, ...]]:
    """Return the migrations of a folder in wrangler's order, and what is wrong with the files.

    `files` maps names relative to the folder, with forward slashes, to contents. A file that is
    not UTF-8 is left out and reported.
    """
    found: list[Migration] = []
    findings: list[Finding] = []
    for name in sorted(files, key=order):
        data = files[name]
        try:
            text = data if isinstance(data, str) else data.decode()
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            findings.append(Finding("error", name, line, "is not UTF-8: save it as UTF-8"))
            continue
        found.append(read_migration(name, text))
    return tuple(found), tuple(findings)


def lint(migrations: Sequence[Migration]) -> tuple[Finding, ...]:
    """Return what D1 or wrangler would refuse in these files, in their order."""
    findings = [*_numbers(migrations)]
    for migration in migrations:
        findings += _file(migration)
        for statement in migration.statements:
            findings += _statement(migration.name, statement)
    return tuple(findings)


def _numbers(migrations: Iterable[Migration]) -> Iterator[Finding]:
    seen: dict[tuple[int | None, ...], str] = {}
    for migration in migrations:
        numbers = leading_numbers(migration.name)
        if any(number is not None for number in numbers) and numbers in seen:
            message = f"has the same number as {seen[numbers]}: their order is that of their names"
            yield Finding("warning", migration.name, 0, message)
        seen.setdefault(numbers, migration.name)


def _file(migration: Migration) -> Iterator[Finding]:
    name = migration.name
    if not name.endswith(".sql") or not _NAME.match(name) or ".." in name.split("/"):
        message = "needs a name of at most 200 plain characters that ends in .sql"
        yield Finding("error", name, 0, message)
    if "\0" in migration.text:
        line = migration.text.count("\n", 0, migration.text.index("\0")) + 1
        yield Finding("error", name, line, "has a NUL character: remove it")
    if migration.rest is not None:
        yield Finding("error", name, migration.rest.line, migration.rest.problem)
    elif not migration.statements:
        yield Finding("error", name, 1, "has no statement: write one, or remove the file")
    if (count := len(migration.statements)) > MAX_STATEMENTS:
        line = migration.statements[MAX_STATEMENTS].line
        message = f"has {count} statements, at most {MAX_STATEMENTS} fit: split the file here"
        yield Finding("error", name, line, message)


def _statement(file: str, statement: Statement) -> Iterator[Finding]:
    size = len(statement.text.encode())
    if size > MAX_STATEMENT_BYTES:
        message = (
            f"the statement is {size} bytes, D1 takes {MAX_STATEMENT_BYTES}: "
            "split it, e.g. into several INSERTs"
        )
        yield Finding("error", file, statement.line, message)
    words = [*tokens(statement.text)]
    first = words[0].text.upper()
    if first in _TRANSACTION:
        message = f"remove {first}: each file runs as one transaction already"
        yield Finding("error", file, statement.line, message)
    if first in _REFUSED:
        yield Finding("error", file, statement.line, f"{_REFUSED[first]}: remove the statement")
    if first == "PRAGMA":
        yield from _pragma(file, statement, words)
    if first == "CREATE" and words[1:] and words[1].text.upper() in {"TEMP", "TEMPORARY"}:
        message = "D1 has nothing temporary: create it without TEMP, and drop it at the end"
        yield Finding("error", file, statement.line, message)
    for token in words:
        if token.kind in {"word", "quoted"} and _reserved(token.name):
            line = statement.line + statement.text.count("\n", 0, token.start)
            message = f"{token.name} is not a migration's to touch: leave it out"
            yield Finding("error", file, line, message)


def _reserved(name: str) -> bool:
    return name == LEDGER or name.startswith("_cf_")


def _pragma(file: str, statement: Statement, words: Sequence[Token]) -> Iterator[Finding]:
    names = [token.name for token in words if token.kind in {"word", "quoted"}]
    name = next((name for name in names[1:] if name != "main"), "")
    if name not in _PRAGMAS:
        yield Finding("error", file, statement.line, f"D1 refuses PRAGMA {name}: remove it")
    elif name == "foreign_keys" and len(names) > 2:
        message = (
            "has no effect inside a migration's transaction: "
            "use PRAGMA defer_foreign_keys = on, and mend every reference before the end"
        )
        yield Finding("warning", file, statement.line, message)


def try_out(migrations: Sequence[Migration]) -> tuple[Finding, ...]:
    """Run the files in order on an empty database in memory; return what failed.

    A syntax error or too many columns is an error. Anything else may be due to this machine's
    SQLite: the first such failure is a warning, those after it are not to be believed.
    """
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        return tuple(_trial(connection, migrations))
    finally:
        connection.close()


def _trial(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> Iterator[Finding]:
    steps = 0

    def tick() -> int:
        nonlocal steps
        steps += 1
        return int(steps > MAX_TRIAL_STEPS)

    connection.execute("PRAGMA foreign_keys = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, MAX_COLUMNS)
    connection.set_progress_handler(tick, 1_000)
    believed = True
    for migration in migrations:
        connection.execute("BEGIN")
        connection.set_authorizer(_authorize)
        failed = False
        for statement in migration.statements:
            try:
                connection.execute(statement.text).close()
            except sqlite3.Error as error:
                finding = _judged(migration.name, statement, str(error))
                if finding.severity == "error" or (believed and not _lint_says(str(error))):
                    yield finding
                failed, believed = True, False
                if steps > MAX_TRIAL_STEPS:
                    return
        connection.set_authorizer(None)
        if not connection.in_transaction:  # a conflict clause rolled it back
            continue
        try:
            connection.execute("ROLLBACK" if failed else "COMMIT")
        except sqlite3.Error as error:  # references that were left broken
            connection.execute("ROLLBACK")
            yield _judged(migration.name, migration.statements[-1], str(error))
            believed = False


def _authorize(action: int, name: str | None, *_: object) -> int:
    """Keep a trial inside its memory: no other file, no transaction of its own."""
    outside = {
        sqlite3.SQLITE_ATTACH,
        sqlite3.SQLITE_DETACH,
        sqlite3.SQLITE_TRANSACTION,
        sqlite3.SQLITE_SAVEPOINT,
    }
    if action in outside:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_PRAGMA and (name or "").lower() not in _PRAGMAS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _lint_says(error: str) -> bool:
    return "not authorized" in error or "VACUUM" in error


def _judged(file: str, statement: Statement, error: str) -> Finding:
    version = sqlite3.sqlite_version
    if _SYNTAX.search(error):
        return Finding("error", file, statement.line, f"{error} (says SQLite {version})")
    if error.startswith("too many columns"):
        message = f"{error}: D1 takes at most {MAX_COLUMNS}"
        return Finding("error", file, statement.line, message)
    message = f"did not run on SQLite {version} here, D1 may differ: {error}"
    return Finding("warning", file, statement.line, message)
