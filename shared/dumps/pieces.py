"""Rows that do not fit into one statement: their long values go ahead, piece by piece.

The row itself is inserted by one statement that puts the pieces together again, so that a CHECK
sees each value whole, and at no moment is there half a row.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shared.dumps.errors import CannotDump
from shared.dumps.inserting import insertion
from shared.dumps.models import Value
from shared.dumps.schema import Table
from shared.dumps.values import literal, quoted, text_fits_literal

__all__ = ["Pieces"]

_LONGEST: Final = 90_000
_LONGEST_DESPERATE: Final = 99_000
_BYTES: Final = 40_000
"""Of a piece: twice as many as hex or as doubled quotes."""


class Pieces:
    """Write rows in pieces; keep a table for them while there are any.

    `taken` are names that the table must not have.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        used = {name.lower() for name in taken}
        name, number = "_d1fleet_pieces", 0
        while name in used:
            number += 1
            name = f"_d1fleet_pieces_{number}"
        self._table = quoted(name)
        self._there = False

    def row(self, table: Table, values: Sequence[Value]) -> Iterator[str]:
        """Yield the statements that insert one row.

        Raises:
            CannotDump: even with all that is long in pieces, it does not fit.
        """
        if not self._there:
            self._there = True
            yield f"CREATE TABLE {self._table}(k INTEGER,n INTEGER,v BLOB,PRIMARY KEY(k,n));"
        literals = [literal(value) for value in values]
        apart = self._choose(table, values, literals)
        for column in apart:
            for number, part in enumerate(_cut(values[column])):
                yield (
                    f"INSERT INTO {self._table}(k,n,v) VALUES({column},{number},{literal(part)});"
                )
        yield _insert(table, literals)
        yield f"DELETE FROM {self._table};"

    def removed(self) -> Iterator[str]:
        """Yield the statement that drops the table, if it was needed."""
        if self._there:
            self._there = False
            yield f"DROP TABLE {self._table};"

    def _choose(self, table: Table, values: Sequence[Value], literals: list[str]) -> list[int]:
        """Replace the longest literals by what reads their pieces until the statement fits."""
        apart: list[int] = []
        longest = sorted(range(len(literals)), key=lambda n: len(literals[n]), reverse=True)
        for column in longest:
            if len(_insert(table, literals).encode()) <= _LONGEST:
                break
            value = values[column]
            if not isinstance(value, str | bytes):
                break
            type_ = "TEXT" if isinstance(value, str) else "BLOB"
            together = (
                f"CAST((SELECT group_concat(v,'') FROM (SELECT v FROM {self._table} "
                f"WHERE k={column} ORDER BY n)) AS {type_})"
            )
            if len(together) >= len(literals[column]):
                break
            literals[column] = together
            apart.append(column)
        if len(_insert(table, literals).encode()) > _LONGEST_DESPERATE:
            raise CannotDump(
                f"table {table.name} has so many or so long columns that no statement of D1's "
                "can insert one of its rows"
            )
        return apart


def _insert(table: Table, literals: Sequence[str]) -> str:
    # Of one row VALUES takes more columns than a SELECT gives: 100 and the row's number.
    return f"{insertion(table)} VALUES({','.join(literals)});"


def _cut(value: Value) -> Iterator[str | bytes]:
    """Cut a text or bytes into pieces that fit into a statement each."""
    if isinstance(value, str):
        if text_fits_literal(value):
            characters = _BYTES // 2
            yield from (value[n : n + characters] for n in range(0, len(value), characters))
            return
        value = value.encode("utf-8", "surrogateescape")
    assert isinstance(value, bytes)  # noqa: S101 - nothing else is long
    yield from (value[n : n + _BYTES] for n in range(0, len(value), _BYTES))
