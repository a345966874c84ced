"""Whether a statement only reads, judged by SQLite itself on a copy of the schema.

Keywords decide nothing here: `WITH … INSERT` writes, a column named `delete` does not. SQLite
compiles the statement against the tenant's own tables, empty and in memory, and says what it would
do. `sqlite3_stmt_readonly` alone is not enough (it holds BEGIN, ATTACH and most pragmas to be
harmless), so the actions of the compilation are looked at too.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import apsw
import apsw.ext

from ops.program import Failed
from shared.domain.sql import split

__all__ = ["SCHEMA_QUERY", "only_reads"]

SCHEMA_QUERY: Final = "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"

_READING: Final = frozenset(
    {apsw.SQLITE_SELECT, apsw.SQLITE_READ, apsw.SQLITE_FUNCTION, apsw.SQLITE_RECURSIVE}
)
_ASKING: Final = frozenset(
    {
        "foreign_key_check",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "quick_check",
        "table_info",
        "table_list",
        "table_xinfo",
    }
)
"""Pragmas whose argument names what is asked about; with others an argument sets something."""

_ORDER: Final = ("table", "view", "index", "trigger")


def only_reads(sql: str, schema: Iterable[Mapping[str, Any]]) -> str:
    """Return the one statement of a text if it only reads.

    `schema` are the rows of `SCHEMA_QUERY`.

    Raises:
        Failed: it is not one statement, would write, or can't be judged.
    """
    statements, rest = split(f"{sql}\n;")
    if rest is not None:
        raise Failed(f"the statement is not whole: {rest.problem}")
    if len(statements) != 1:
        raise Failed("give one statement that only reads; with --write there may be several")
    statement = statements[0].text
    actions: list[tuple[int, str | None, str | None]] = []

    def watch(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        actions.append((action, first, second))
        return apsw.SQLITE_OK

    connection = _copy(schema)
    try:
        connection.authorizer = watch
        info = apsw.ext.query_info(connection, statement)
    except apsw.Error as error:
        raise Failed(f"SQLite can't judge the statement: {error}") from error
    finally:
        connection.close()
    harmless = all(_harmless(*action) for action in actions)
    if not info.is_readonly or not harmless or info.query_remaining:
        raise Failed("the statement does more than read: give --write if you mean it")
    return statement


def _harmless(action: int, first: str | None, second: str | None) -> bool:
    if action == apsw.SQLITE_PRAGMA:
        return second is None or (first or "").lower() in _ASKING
    return action in _READING


def _copy(schema: Iterable[Mapping[str, Any]]) -> apsw.Connection:
    """Return an empty database in memory of the same schema, as far as SQLite here can make it."""
    connection = apsw.Connection(":memory:")
    for row in sorted(schema, key=_creation_order):
        if str(row["name"]).startswith("sqlite_"):
            continue
        try:
            connection.execute(str(row["sql"]))
        except apsw.Error:
            # A virtual table made its shadow tables already, or its module is not here: then a
            # statement that needs it can't be judged, and is refused.
            continue
    return connection


def _creation_order(row: Mapping[str, Any]) -> tuple[int, bool]:
    kind = str(row["type"])
    virtual = str(row["sql"]).upper().startswith("CREATE VIRTUAL")
    return _ORDER.index(kind) if kind in _ORDER else len(_ORDER), not virtual
