"""A database's schema, made anew in a SQLite of our own, which then says what it means.

So a live database is asked one question about its schema, whatever the number of its tables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import apsw

from shared.dumps.definitions import (
    closed,
    is_autoincrement,
    normal,
    virtual_table,
)
from shared.dumps.errors import CannotDump
from shared.dumps.models import SchemaEntry
from shared.dumps.values import quoted

__all__ = ["SCHEMA_QUERY", "SEQUENCES", "KeyColumn", "Role", "Schema", "Table", "read_schema"]

SCHEMA_QUERY: Final = (
    "SELECT type, hex(name), hex(tbl_name), rootpage, hex(sql) FROM sqlite_master ORDER BY rowid"
)
SEQUENCES: Final = "sqlite_sequence"
_ALIASES: Final = ("rowid", "_rowid_", "oid")
_NOT_OURS: Final = ("sqlite_", "_cf_")


class Role(StrEnum):
    """Say what the rows of a table are."""

    ROWS = "rows"
    """A table's own."""
    SEQUENCES = "sequences"
    """Where AUTOINCREMENT goes on."""
    SEARCH = "search"
    """An FTS5 table's, which keeps them itself; inserted again, they are indexed again."""
    SETTINGS = "settings"
    """How an FTS5 table was set, e.g. its ranking; read from its table `…_config`."""


@dataclass(frozen=True)
class KeyColumn:
    """Hold one column of a key: how SQL names it, its collation, and whether it goes downwards."""

    name: str
    collation: str = ""
    downwards: bool = False


@dataclass(frozen=True)
class Table:
    """Hold what reading a table's rows needs.

    `columns` are SQL's names of all that a row consists of, in the order in which it is read; an
    implicit row number comes first. `key` identifies a row and orders them; `key_at` says where in
    a row its parts are. `only` is a condition that the rows of `t` meet.
    """

    name: str
    role: Role
    columns: tuple[str, ...]
    key: tuple[KeyColumn, ...]
    key_at: tuple[int, ...]
    implicit: bool = False
    numbers_count: bool = True
    only: str = ""

    @property
    def owner(self) -> str:
        """Return the table that these rows are for: of settings, it is the search table."""
        return self.name.removesuffix("_config") if self.role is Role.SETTINGS else self.name

    @property
    def content_from(self) -> int:
        """Return where in a row its content begins: row numbers are none, unless they count."""
        return 0 if self.numbers_count or not self.implicit else 1


@dataclass(frozen=True)
class Schema:
    """Hold the definitions in the order of their creation, and the tables that have rows."""

    entries: tuple[SchemaEntry, ...]
    tables: tuple[Table, ...]
    rebuilt: tuple[str, ...]
    """FTS5 tables over another table's content: their index is made anew."""

    def of_type(self, *types: str) -> Iterator[SchemaEntry]:
        """Yield the definitions of some types: table, index, view, trigger."""
        return (entry for entry in self.entries if entry.type in types)


@dataclass(frozen=True)
class _Described:
    type: str
    name: str
    table: str
    virtual: bool
    sql: str

    @property
    def what(self) -> str:
        return f"{self.type} {self.name}"


def read_schema(rows: Iterable[Sequence[Any]]) -> Schema:
    """Return the schema that the rows of `SCHEMA_QUERY` describe.

    Raises:
        CannotDump: there is something in it that a dump can't bring back.
    """
    described = [item for item in map(_described, rows) if item is not None]
    connection = apsw.Connection(":memory:")
    try:
        shadows = _create(connection, described)
        ours = [item for item in described if item.table not in shadows]
        return _schema(connection, ours)
    finally:
        connection.close()


def _described(row: Sequence[Any]) -> _Described | None:
    type_, name, table, root, sql = row
    try:
        text, named, of = (bytes.fromhex(str(part)).decode() for part in (sql, name, table))
    except UnicodeDecodeError:
        raise CannotDump(f"a {type_} is defined by a text that is not UTF-8") from None
    if not text or named.lower().startswith(_NOT_OURS) or of.lower().startswith(_NOT_OURS):
        return None
    text = normal(text)
    return _Described(str(type_), named, of, type_ == "table" and not root, text)


def _create(connection: apsw.Connection, described: Sequence[_Described]) -> set[str]:
    """Make all tables; return the names of those that virtual tables made for themselves."""
    tables = [item for item in described if item.type == "table"]
    for item in tables:
        if item.virtual:
            _check_module(item)
            _execute(connection, item)
    existing = "SELECT name FROM sqlite_schema WHERE type = 'table'"
    made = {str(name) for (name,) in connection.execute(existing)}
    shadows = made - {item.name for item in tables if item.virtual}
    for item in tables:
        if not item.virtual and item.name not in shadows:
            _execute(connection, item)
    return shadows


def _check_module(item: _Described) -> None:
    virtual = virtual_table(item.sql)
    module = "an unknown module" if virtual is None else virtual.module
    if virtual is None or module not in {"fts5", "fts5vocab"}:
        raise CannotDump(f"table {item.name} is a virtual table of {module}: only FTS5 can be read")
    if module == "fts5" and virtual.content == "":
        raise CannotDump(
            f"table {item.name} is a search index without content (content=''): what was indexed "
            "can't be read back; give it content, or drop it"
        )


def _execute(connection: apsw.Connection, item: _Described) -> None:
    try:
        connection.execute(closed(item.sql, item.what))
    except apsw.Error as error:
        raise CannotDump(f"SQLite can't make {item.what} anew: {error}") from error


def _schema(connection: apsw.Connection, ours: Sequence[_Described]) -> Schema:
    described = [item for item in ours if item.type == "table"]
    plain = [item for item in described if not item.virtual]
    search: list[_Described] = []
    rebuilt: dict[str, str] = {}
    for item in described:
        virtual = virtual_table(item.sql)
        if virtual is not None and virtual.module == "fts5":
            if virtual.content is None:
                search.append(item)
            else:
                rebuilt[item.name] = virtual.content
    searched = {name.lower() for name in rebuilt.values()}
    without_rowid = _without_rowid(connection)
    tables = []
    for item in plain:
        columns = _columns(connection, item.name)
        if without_rowid[item.name]:
            tables.append(_keyed_table(connection, item.name, columns))
        else:
            counts = item.name.lower() in searched
            tables.append(_numbered_table(connection, item.name, columns, counts))
    if any(is_autoincrement(item.sql) for item in plain):
        tables.append(_numbered(SEQUENCES, Role.SEQUENCES, ("name", "seq"), "rowid", counts=False))
    for item in search:
        names = [name for name, _, _, hidden in _columns(connection, item.name) if not hidden]
        tables.append(_numbered(item.name, Role.SEARCH, names, "rowid", counts=True))
    tables += [_settings(item.name) for item in described if _is_search(item)]
    entries = tuple(
        SchemaEntry(type=item.type, name=item.name, table=item.table, sql=item.sql) for item in ours
    )
    return Schema(entries, tuple(tables), tuple(rebuilt))


def _is_search(item: _Described) -> bool:
    virtual = virtual_table(item.sql)
    return virtual is not None and virtual.module == "fts5"


_Column = tuple[str, str, int, int]
"""Name, declared type, place in the primary key from 1 (0: none), and how hidden it is."""


def _columns(connection: apsw.Connection, table: str) -> list[_Column]:
    rows = connection.execute(f"PRAGMA table_xinfo({quoted(table)})")
    return [(str(name), str(type_), int(pk), int(hid)) for _, name, type_, _, _, pk, hid in rows]


def _without_rowid(connection: apsw.Connection) -> Mapping[str, bool]:
    rows = connection.execute("PRAGMA main.table_list")
    return {str(name): bool(without) for _, name, _, _, without, _ in rows}


def _primary_index(connection: apsw.Connection, table: str) -> str | None:
    rows = connection.execute(f"PRAGMA index_list({quoted(table)})")
    return next((str(name) for _, name, _, origin, _ in rows if origin == "pk"), None)


def _numbered_table(
    connection: apsw.Connection, name: str, columns: Sequence[_Column], counts: bool
) -> Table:
    stored = [column for column, _, _, hidden in columns if not hidden]
    primary = [(column, type_) for column, type_, place, _ in columns if place]
    # An "INTEGER PRIMARY KEY DESC" looks the same, but has an index and is no row number.
    if (
        len(primary) == 1
        and primary[0][1].upper() == "INTEGER"
        and _primary_index(connection, name) is None
    ):
        names = tuple(map(quoted, stored))
        at = stored.index(primary[0][0])
        return Table(name, Role.ROWS, names, (KeyColumn(names[at]),), (at,))
    taken = {column.lower() for column, *_ in columns}
    alias = next((alias for alias in _ALIASES if alias not in taken), None)
    if alias is None:
        raise CannotDump(
            f"table {name} has columns named rowid, _rowid_ and oid, so that its rows can't be "
            "told apart: rename one of them"
        )
    return _numbered(name, Role.ROWS, stored, alias, counts=counts)


def _numbered(name: str, role: Role, columns: Sequence[str], alias: str, *, counts: bool) -> Table:
    names = (alias, *map(quoted, columns))
    return Table(name, role, names, (KeyColumn(alias),), (0,), implicit=True, numbers_count=counts)


def _keyed_table(connection: apsw.Connection, name: str, columns: Sequence[_Column]) -> Table:
    stored = [column for column, _, _, hidden in columns if not hidden]
    index = _primary_index(connection, name)
    rows = connection.execute(f"PRAGMA index_xinfo({quoted(str(index))})").fetchall()
    parts = [(str(part), bool(down), str(coll)) for _, _, part, down, coll, key in rows if key]
    key = tuple(KeyColumn(quoted(part), coll, down) for part, down, coll in parts)
    return Table(
        name,
        Role.ROWS,
        tuple(map(quoted, stored)),
        key,
        tuple(stored.index(part) for part, _, _ in parts),
    )


def _settings(search: str) -> Table:
    """Return the table of an FTS5 table's settings; which version wrote its index is none."""
    return Table(
        f"{search}_config",
        Role.SETTINGS,
        (quoted("k"), quoted("v")),
        (KeyColumn(quoted("k"), "BINARY"),),
        (0,),
        only="t.\"k\" <> 'version'",
    )
