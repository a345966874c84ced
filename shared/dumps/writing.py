"""The canonical SQL dump of a SQLite file.

::

    -- d1fleet dump 1
    PRAGMA defer_foreign_keys=TRUE;
    CREATE TABLE …; CREATE UNIQUE INDEX …; CREATE VIEW …; CREATE VIRTUAL TABLE …
    INSERT INTO "notes"(rowid,"text") VALUES
    (1,'one'),
    (2,'two');
    …
    CREATE INDEX …; CREATE TRIGGER …
    -- end 17 <SHA-256 in hex of everything before this line>

Equal content gives equal bytes. There is no BEGIN and no COMMIT, which D1's import does not take:
it makes all of a dump one transaction, and so does `load_sql`.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from shared.dumps.errors import CannotDump
from shared.dumps.inserting import EMPTY_SEQUENCES, insertion
from shared.dumps.order import definitions
from shared.dumps.pieces import Pieces
from shared.dumps.reading import Reader, Row
from shared.dumps.schema import Role, Table
from shared.dumps.sqlite import Local, opened
from shared.dumps.trailer import HEADER, trailer
from shared.dumps.values import decode, literal

__all__ = ["LONGEST", "write_dump"]

LONGEST: Final = 90_000
"""Bytes of a statement that holds rows; D1 takes 100,000."""
_LONGEST_DEFINITION: Final = 100_000
_MOST_TERMS: Final = 4_000
"""Values, and operations on them, in one statement: SQLite compiles each, and D1 bounds that."""
_MOST_COLUMNS: Final = 100
"""Beyond, SQLite within D1's limits takes one row in a statement, but not several."""
_CHUNK: Final = 1 << 16


def write_dump(path: Path) -> Iterator[bytes]:
    """Yield the SQL dump of a SQLite file, in chunks of about 64 KiB.

    It reads the file in pages, all in one transaction, so that memory does not grow with it.

    Raises:
        CannotDump: something in it can't be written as statements that D1 takes.
        FileNotFoundError: there is no such file.
    """
    digest, count = hashlib.sha256(), 0
    chunk = bytearray(HEADER)
    for statement in _statements(path):
        chunk += statement.encode() + b"\n"
        count += 1
        if len(chunk) >= _CHUNK:
            digest.update(chunk)
            yield bytes(chunk)
            chunk.clear()
    digest.update(chunk)
    yield bytes(chunk) + trailer(count, digest.hexdigest())


def _statements(path: Path) -> Iterator[str]:
    with opened(path) as connection:
        reader = Reader(Local(connection))
        made = definitions(reader.schema)
        yield "PRAGMA defer_foreign_keys=TRUE;"
        yield from map(_within_limits, made.first)
        pieces = Pieces(entry.name for entry in reader.schema.entries)
        for table in reader.schema.tables:
            if table.role is Role.SEQUENCES:
                yield f"{EMPTY_SEQUENCES};"
            yield from _rows(table, reader.rows_of(table), pieces)
        yield from pieces.removed()
        yield from map(_within_limits, made.last)


def _within_limits(definition: str) -> str:
    if len(definition.encode()) > _LONGEST_DEFINITION:
        what = " ".join(definition.split()[:3])
        raise CannotDump(
            f"a definition that begins with {what} has more than {_LONGEST_DEFINITION} bytes, "
            "which D1 does not take"
        )
    return definition


def _rows(table: Table, rows: Iterable[Row], pieces: Pieces) -> Iterator[str]:
    """Yield statements that insert rows, as many as fit into each."""
    head = insertion(table)
    most = _MOST_TERMS if len(table.columns) <= _MOST_COLUMNS else 1
    some: list[str] = []
    size = terms = 0
    for row in rows:
        literals = [literal(decode(form)) for form in row]
        text = f"({','.join(literals)})"
        length, cost = len(text.encode()) + 2, len(literals) + text.count("*") + text.count("/")
        if some and (size + length > LONGEST or terms + cost > most):
            yield _insert(head, some)
            some, size, terms = [], 0, 0
        if not some:
            size = len(head.encode()) + len(" VALUES\n;")
        if size + length > LONGEST:
            yield from pieces.row(table, [decode(form) for form in row])
            continue
        some.append(text)
        size, terms = size + length, terms + cost
    if some:
        yield _insert(head, some)


def _insert(head: str, rows: Sequence[str]) -> str:
    return f"{head} VALUES\n" + ",\n".join(rows) + ";"
