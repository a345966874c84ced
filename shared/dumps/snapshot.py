"""A copy of a live database as a SQLite file."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import apsw

from shared.dumps.errors import CannotDump
from shared.dumps.inserting import EMPTY_SEQUENCES, insertion
from shared.dumps.models import Live, Snapshot, Value
from shared.dumps.order import definitions
from shared.dumps.reading import Reader
from shared.dumps.schema import Role, Table
from shared.dumps.sqlite import new_file
from shared.dumps.values import decode, has_surrogates
from shared.errors import Transient

__all__ = ["AT_ONCE", "take_snapshot"]

AT_ONCE: Final = 4_000_000
_MOST_ROWS: Final = 100_000
"""Of a table that may be read at once; more are not looked at beforehand."""


def take_snapshot(live: Live, path: Path, *, at_once: int = AT_ONCE) -> Snapshot:
    """Copy a live database into a SQLite file at `path`, exactly; whatever was there is replaced.

    A database whose answer is no larger than `at_once` bytes, and has no value above 900,000 bytes,
    is read in one transaction; others in pages of about 2 MB, which the result says.

    Raises:
        CannotDump: it holds what can't be copied, or the disk is full.
        Transient: it was changed between two pages so that they don't fit; and whatever `live`
            raises.
    """
    reader = Reader(live)
    estimates = reader.estimates(_MOST_ROWS)
    whole = reader.at_once(estimates, at_once)
    pages = reader.all_rows(reader.schema.tables, estimates) if whole is None else whole
    made = definitions(reader.schema)
    with new_file(path) as connection:
        # What a CHECK says of old rows is for the proof to find, which names the statement.
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("BEGIN")
        _run(connection, made.first)
        rows, begun = 0, None
        for table, page in pages:
            if table is not begun and table.role is Role.SEQUENCES:
                connection.execute(EMPTY_SEQUENCES)
            begun = table
            _insert(connection, table, [[decode(form) for form in row] for row in page])
            rows += len(page)
        _run(connection, made.last)
    return Snapshot(whole is not None, rows)


def _run(connection: apsw.Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        try:
            connection.execute(statement)
        except apsw.SQLError as error:
            what = " ".join(statement.split()[:4])
            raise CannotDump(f"SQLite can't make anew what begins with {what}: {error}") from error


def _insert(connection: apsw.Connection, table: Table, rows: Sequence[Sequence[Value]]) -> None:
    """Insert rows; a text that is no UTF-8 can only be bound as bytes.

    Raises:
        Transient: a row collides with one that was read before: the table was changed in between.
    """
    head = insertion(table)
    try:
        for row in rows:
            _insert_row(connection, head, row)
    except apsw.ConstraintError as error:
        raise Transient(f"table {table.name} was changed while it was read: {error}") from error


def _insert_row(connection: apsw.Connection, head: str, row: Sequence[Value]) -> None:
    odd = [isinstance(value, str) and has_surrogates(value) for value in row]
    places = ",".join("CAST(? AS TEXT)" if one else "?" for one in odd)
    values = [
        value.encode("utf-8", "surrogateescape") if isinstance(value, str) and one else value
        for value, one in zip(row, odd, strict=True)
    ]
    connection.execute(f"{head} VALUES({places})", values)
