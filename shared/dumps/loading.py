"""Loading an SQL dump, ours or one of D1's export, into a fresh SQLite file.

A dump is not trusted. It may be cut off, damaged, or another's; and whatever it says, it touches
nothing but its own file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import apsw

from shared.dumps.errors import NotRestorable
from shared.dumps.sqlite import new_file, opened
from shared.dumps.statements import statements
from shared.dumps.trailer import Seal

__all__ = ["check_integrity", "load_sql"]

_LIMITS: Final = {
    apsw.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    # D1 promises 2,000,000 bytes and its engine takes a little more: a value that is already in a
    # live database must not be refused here.
    apsw.SQLITE_LIMIT_LENGTH: 2_200_000,
    apsw.SQLITE_LIMIT_COLUMN: 100,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 100,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 32,
    apsw.SQLITE_LIMIT_VDBE_OP: 25_000,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
}
"""What D1's engine is limited to (developers.cloudflare.com/d1/platform/limits, and workerd)."""

_NO_DUMP_NEEDS: Final = frozenset(
    {
        apsw.SQLITE_ATTACH,  # VACUUM INTO too
        apsw.SQLITE_DETACH,
        apsw.SQLITE_TRANSACTION,  # the whole dump is one, as in D1's import
        apsw.SQLITE_SAVEPOINT,
        apsw.SQLITE_RECURSIVE,  # would run for ever
        apsw.SQLITE_CREATE_TEMP_INDEX,
        apsw.SQLITE_CREATE_TEMP_TABLE,
        apsw.SQLITE_CREATE_TEMP_TRIGGER,
        apsw.SQLITE_CREATE_TEMP_VIEW,
    }
)
_PRAGMAS: Final = frozenset({"defer_foreign_keys", "foreign_keys"})
_MODULES: Final = frozenset({"fts5", "fts5vocab"})
_FUNCTIONS: Final = frozenset({"load_extension", "fts3_tokenizer"})
_MOST_NAMED: Final = 5


def load_sql(chunks: Iterable[bytes], path: Path, *, limits: bool) -> int:
    """Execute a dump into a SQLite file, statement by statement; return how many there were.

    Whatever was at `path` is replaced; after an error nothing is there. With `limits` the dump must
    keep within D1's limits and its foreign keys must hold at the end, as when D1 imports it.

    Raises:
        NotRestorable: the dump is not whole, or was changed, or SQLite refuses a statement, or it
            does what no dump may do. It names the statement's number, never its content.
        CannotDump: this machine's disk is full.
    """
    seal = Seal()
    number = 0
    with new_file(path) as connection:
        if limits:
            connection.execute("PRAGMA foreign_keys = ON")
            for limit, most in _LIMITS.items():
                connection.limit(limit, most)
        connection.execute("BEGIN")
        connection.authorizer = _allowed
        for number, statement in enumerate(statements(_watched(chunks, seal)), start=1):
            _execute(connection, statement, number, limits=limits)
        seal.check(number)
        connection.authorizer = None
        try:
            connection.execute("COMMIT")
        except apsw.ConstraintError as error:
            raise NotRestorable(
                "a row of the dump refers to one that is not in it: D1's import would refuse it"
            ) from error
    return number


def check_integrity(path: Path) -> None:
    """Have SQLite check a whole file: its pages, indexes, constraints and search indexes.

    Foreign keys must hold: D1 enforces them at each commit, so a live database has no row that
    breaks one, and D1's import would refuse a dump that has.

    Raises:
        NotRestorable: something is wrong; it names tables, never values.
    """
    with opened(path) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise NotRestorable(f"SQLite's integrity check finds: {'; '.join(found)}")
        broken = sorted({str(row[0]) for row in connection.execute("PRAGMA foreign_key_check")})
    if broken:
        raise NotRestorable(
            f"foreign keys of {', '.join(broken[:_MOST_NAMED])} point at rows that are not there"
        )


def _watched(chunks: Iterable[bytes], seal: Seal) -> Iterator[bytes]:
    for chunk in chunks:
        seal.saw(chunk)
        yield chunk


def _execute(connection: apsw.Connection, statement: str, number: int, *, limits: bool) -> None:
    length = len(statement.encode())
    if limits and length > _LIMITS[apsw.SQLITE_LIMIT_SQL_LENGTH]:
        raise NotRestorable(
            f"statement {number} of the dump has {length} bytes, and D1 takes 100,000"
        )
    try:
        for _ in connection.execute(statement):
            pass
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError):
        raise
    except apsw.Error as error:
        raise NotRestorable(f"statement {number} of the dump: {_meaning(error)}") from error


def _meaning(error: apsw.Error) -> str:
    """Say what an error of SQLite means; its own words may quote the statement."""
    match error:
        case apsw.AuthError():
            return "it does what no dump may do"
        case apsw.TooBigError():
            return "it, or a value that it makes, is longer than D1 takes"
        case apsw.ConstraintError():
            return str(error)  # names a table and its columns
        case apsw.SQLError():
            return "SQLite does not take it: it is damaged, or meant for another database"
        case _:
            return f"SQLite fails ({type(error).__name__})"


def _allowed(
    action: int, first: str | None, second: str | None, _schema: str | None, _by: str | None
) -> int:
    denied = (
        action in _NO_DUMP_NEEDS
        or (action == apsw.SQLITE_PRAGMA and not _harmless(first or "", second))
        or (action == apsw.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS)
        or (action == apsw.SQLITE_CREATE_VTABLE and (second or "").lower() not in _MODULES)
    )
    return apsw.SQLITE_DENY if denied else apsw.SQLITE_OK


def _harmless(pragma: str, argument: str | None) -> bool:
    # FTS5 itself asks for data_version, to see whether its index was changed under it.
    return pragma.lower() in _PRAGMAS or (pragma.lower() == "data_version" and argument is None)
