"""Reading a database's tables in wire form, in few questions and with little memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from shared.dumps.models import Live, Value
from shared.dumps.questions import (
    Budget,
    after,
    count_of,
    long_piece,
    page_of,
    size_of,
    whole_of,
    width_of,
)
from shared.dumps.schema import SCHEMA_QUERY, Schema, Table, read_schema
from shared.dumps.values import LONG, decode
from shared.errors import Transient

__all__ = ["PAGE", "Estimate", "Page", "Reader", "Row"]

Row: TypeAlias = list[Any]
"""Wire forms, one a column."""

Page: TypeAlias = tuple[Table, list[Row]]

PAGE: Final = Budget(rows=5_000, size=2_000_000)
_MOST_ESTIMATES: Final = 50
_MOST_STATEMENTS: Final = 200


@dataclass(frozen=True)
class Estimate:
    """Say how much a table is: its rows, their size in an answer in bytes, and how many are long.

    `more`: there are more rows than were looked at.
    """

    rows: int
    size: float
    long: bool
    more: bool


class Reader:
    """Read the tables of one database."""

    def __init__(self, live: Live) -> None:
        self._live = live
        (rows,) = live.rows([SCHEMA_QUERY])
        self._described = rows
        self.schema: Final[Schema] = read_schema(rows)

    def estimates(self, most: int) -> dict[str, Estimate]:
        """Look at up to `most` rows of each table; return by name how much they are."""
        found: dict[str, Estimate] = {}
        tables = self.schema.tables
        for start in range(0, len(tables), _MOST_ESTIMATES):
            some = tables[start : start + _MOST_ESTIMATES]
            answers = self._live.rows([size_of(table, most) for table in some])
            for table, ((rows, size, long),) in zip(some, answers, strict=True):
                found[table.name] = Estimate(int(rows), float(size), bool(long), rows >= most)
        return found

    def at_once(self, estimates: Mapping[str, Estimate], size: float) -> list[Page] | None:
        """Read all tables in one transaction.

        None if that would take more than `size` bytes of answer, or the schema has changed.
        """
        tables = self.schema.tables
        if not _small(tables, estimates, size):
            return None
        described, *answers = self._live.rows([SCHEMA_QUERY, *_wholes(tables)])
        return _paired(tables, answers) if described == self._described else None

    def all_rows(
        self, tables: Iterable[Table], estimates: Mapping[str, Estimate]
    ) -> Iterator[Page]:
        """Yield the rows of tables in the order of their keys, each table in one page at least.

        Small tables that follow each other are read together, large ones in pieces.
        """
        small: list[Table] = []
        for table in tables:
            if _small([*small, table], estimates, PAGE.size):
                small.append(table)
                continue
            yield from self._wholes(small)
            small = []
            if _small([table], estimates, PAGE.size):
                small.append(table)
            else:
                yield from ((table, page) for page in self._pages(table))
        yield from self._wholes(small)

    def rows_of(self, table: Table) -> Iterator[Row]:
        """Yield the rows of a table in the order of their keys."""
        return (row for page in self._pages(table) for row in page)

    def count(self, table: Table) -> int:
        """Return the number of a table's rows."""
        (((rows,),),) = self._live.rows([count_of(table)])
        return int(rows)

    def pages(
        self, table: Table, conditions: Sequence[str], budget: Budget, *, backwards: bool = False
    ) -> list[list[Row]]:
        """Return the first rows for each of some conditions, read in one transaction."""
        questions = [page_of(table, one, budget, backwards=backwards) for one in conditions]
        answers = self._live.rows([question for some in questions for question in some])
        each = len(questions[0])
        pages = [_beside(answers[n : n + each]) for n in range(0, len(answers), each)]
        for page in pages:
            self._complete(table, page)
        return pages

    def _wholes(self, tables: Sequence[Table]) -> list[Page]:
        return _paired(tables, self._live.rows(_wholes(tables))) if tables else []

    def _pages(self, table: Table) -> Iterator[list[Row]]:
        condition = ""
        while True:
            (page,) = self.pages(table, [condition], PAGE)
            yield page
            if not page:
                return
            condition = after(table, key_of(table, page[-1]))

    def _complete(self, table: Table, page: list[Row]) -> None:
        """Fetch what was too long to come with its row."""
        for row in page:
            for column, form in enumerate(row):
                if isinstance(form, str) and form[:1] in {"T", "B"}:
                    row[column] = self._whole_value(table, row, column)

    def _whole_value(self, table: Table, row: Row, column: int) -> str:
        tag, size = str(row[column])[:1].lower(), int(row[column][1:])
        key = key_of(table, row)
        pieces = []
        for start in range(0, size, LONG):
            (answer,) = self._live.rows([long_piece(table, key, column, start)])
            pieces += [str(hexed) for (hexed,) in answer]
        whole = "".join(pieces)
        if len(whole) != 2 * size:
            raise Transient(f"table {table.name} was changed while it was read")
        return tag + whole


def key_of(table: Table, row: Row) -> list[Value]:
    """Return the values of a row's key."""
    return [decode(row[at]) for at in table.key_at]


def _small(tables: Sequence[Table], estimates: Mapping[str, Estimate], size: float) -> bool:
    """Say whether tables can be read whole, by one call."""
    known = [estimates[table.name] for table in tables]
    return (
        not any(one.long or one.more for one in known)
        and sum(one.size for one in known) <= size
        and sum(map(width_of, tables)) < _MOST_STATEMENTS
    )


def _wholes(tables: Iterable[Table]) -> list[str]:
    return [question for table in tables for question in whole_of(table)]


def _paired(tables: Sequence[Table], answers: Sequence[list[Row]]) -> list[Page]:
    found, taken = [], 0
    for table in tables:
        width = width_of(table)
        found.append((table, _beside(answers[taken : taken + width])))
        taken += width
    return found


def _beside(answers: Sequence[list[Row]]) -> list[Row]:
    """Put the columns that several statements gave beside each other."""
    if len(answers) == 1:
        return answers[0]
    return [[form for part in parts for form in part] for parts in zip(*answers, strict=True)]
