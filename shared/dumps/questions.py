"""The SQL that reads tables, within D1's limits. Pure: nothing is run here.

D1 takes statements of up to 100,000 bytes, gives at most 100 columns, and takes an expression that
is at most 100 deep; a parameter would come through JSON, so keys are written as literals.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from shared.dumps.errors import CannotDump
from shared.dumps.models import Value
from shared.dumps.schema import KeyColumn, Table
from shared.dumps.values import LONG, literal, piece, quoted, wire

__all__ = [
    "Budget",
    "after",
    "count_of",
    "from_first_key",
    "long_piece",
    "page_of",
    "size_of",
    "whole_of",
    "width_of",
]

_MOST_COLUMNS: Final = 90
_MOST_TEXT: Final = 60_000
"""Bytes of one statement that column names and their wire forms may take."""
_WIRE_TEXT: Final = len(wire("c000")) + len(",t. AS c000, AS v000")
_LONGEST_KEY: Final = 20_000
_ROW_OVERHEAD: Final = 12
"""Bytes that a value takes in an answer beside its own, about."""


@dataclass(frozen=True)
class Budget:
    """Bound a page: so many rows, and so many bytes of answer; it has one row at least."""

    rows: int
    size: int


def whole_of(table: Table) -> list[str]:
    """Return the questions for all rows, in the order of their keys; each gives some columns."""
    return [_some(table, some, _where(table) + _order(table)) for some in _columns(table)]


def width_of(table: Table) -> int:
    """Return how many questions one for a table's rows takes."""
    return sum(1 for _ in _columns(table))


def page_of(table: Table, condition: str, budget: Budget, *, backwards: bool = False) -> list[str]:
    """Return the questions for the first rows that meet a condition; each gives some columns.

    SQLite itself stops where the answer would outgrow the budget. Sizes come from the rows'
    headers, so that this costs no more than the rows' own pages, read a second time from the cache.
    """
    rows = _where(table, condition) + _order(table, backwards=backwards)
    sizes = f"SELECT {_size(table)} AS z{_from(table)}{rows} LIMIT {budget.rows}"
    sums = f"SELECT total(z) OVER (ROWS UNBOUNDED PRECEDING) AS s FROM ({sizes})"
    limit = f" LIMIT (SELECT max(1,count(*)) FROM ({sums}) WHERE s<={budget.size})"
    return [_some(table, some, rows + limit) for some in _columns(table)]


def size_of(table: Table, most: int) -> str:
    """Return the question for how many rows there are, their size in an answer, how many are long.

    It looks at `most` rows at most.
    """
    inner = (
        f"SELECT {_size(table)} AS z, {_sum(map(_is_long, table.columns))} AS l"
        f"{_from(table)}{_where(table)} LIMIT {most}"
    )
    return f"SELECT count(*), total(z), total(l) FROM ({inner})"


def count_of(table: Table) -> str:
    """Return the question for the number of rows."""
    return f"SELECT count(*){_from(table)}{_where(table)}"


def long_piece(table: Table, key: Sequence[Value], column: int, start: int) -> str:
    """Return the question for the piece of a long value that begins at byte `start`, in hex."""
    same = " AND ".join(
        f"{_part(part)} = {_key_literal(table, value)}"
        for part, value in zip(table.key, key, strict=True)
    )
    expression = piece(_of(table.columns[column]), start, LONG)
    return f"SELECT {expression}{_from(table)}{_where(table, same)}"


def after(table: Table, key: Sequence[Value]) -> str:
    """Return the condition for all rows behind a key."""
    values = [_key_literal(table, value) for value in key]
    if len({part.downwards for part in table.key}) == 1:
        sign = "<" if table.key[0].downwards else ">"
        parts = ",".join(_part(part) for part in table.key)
        return (
            f"({parts}){sign}({','.join(values)})" if len(values) > 1 else parts + sign + values[0]
        )
    # Of a key that goes both ways no tuple comparison tells the order.
    either = [
        " AND ".join(
            [
                *(
                    f"{_part(part)}={value}"
                    for part, value in zip(table.key[:n], values, strict=False)
                ),
                _behind(table.key[n], values[n]),
            ]
        )
        for n in range(len(values))
    ]
    return f"{_behind(table.key[0], values[0], '=')} AND ({' OR '.join(either)})"


def from_first_key(table: Table, value: Value) -> str:
    """Return the condition for all rows from this value of the key's first part on."""
    return _behind(table.key[0], _key_literal(table, value), "=")


def _behind(part: KeyColumn, value: str, equal: str = "") -> str:
    return f"{_part(part)}{'<' if part.downwards else '>'}{equal}{value}"


def _key_literal(table: Table, value: Value) -> str:
    text = literal(value)
    if len(text.encode()) > _LONGEST_KEY:
        raise CannotDump(f"table {table.name} has a primary key too long to ask for its rows")
    return text


def _from(table: Table) -> str:
    return f" FROM {quoted(table.name)} AS t"


def _of(column: str) -> str:
    """Return a column as nothing else: a bare name may be taken for a result's name or a text."""
    return f"t.{column}"


def _part(part: KeyColumn) -> str:
    return (
        f"{_of(part.name)} COLLATE {quoted(part.collation)}" if part.collation else _of(part.name)
    )


def _where(table: Table, condition: str = "") -> str:
    conditions = [part for part in (table.only, condition) if part]
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _order(table: Table, *, backwards: bool = False) -> str:
    parts = (_part(part) + (" DESC" if part.downwards != backwards else "") for part in table.key)
    return f" ORDER BY {','.join(parts)}"


def _some(table: Table, columns: Sequence[str], rows: str) -> str:
    """Return the question for some columns; short names keep the text and the answer short."""
    inner = ",".join(f"{_of(column)} AS c{n}" for n, column in enumerate(columns))
    outer = ",".join(f"{wire(f'c{n}')} AS v{n}" for n in range(len(columns)))
    return f"SELECT {outer} FROM (SELECT {inner}{_from(table)}{rows})"


def _columns(table: Table) -> Iterator[tuple[str, ...]]:
    """Cut the columns into groups that one statement can give."""
    cuts, taken = [0], 0
    for n, column in enumerate(table.columns):
        text = len(column.encode()) + _WIRE_TEXT
        if n > cuts[-1] and (taken + text > _MOST_TEXT or n - cuts[-1] >= _MOST_COLUMNS):
            cuts.append(n)
            taken = 0
        taken += text
    return (table.columns[start:end] for start, end in pairwise([*cuts, len(table.columns)]))


def _size(table: Table) -> str:
    lengths = (f"ifnull(octet_length({_of(column)}),0)" for column in table.columns)
    return f"2*{_sum(lengths)}+{_ROW_OVERHEAD * len(table.columns)}"


def _is_long(column: str) -> str:
    return f"ifnull(octet_length({_of(column)})>{LONG},0)"


def _sum(terms: Iterable[str]) -> str:
    """Add many terms up without nesting them deeply."""
    return _joined([*terms], lambda one, other: f"({one}+{other})")


def _joined(terms: list[str], join: Callable[[str, str], str]) -> str:
    while len(terms) > 1:
        pairs = [terms[n : n + 2] for n in range(0, len(terms), 2)]
        terms = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return f"({terms[0]})"
