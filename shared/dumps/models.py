"""What the parts of this library hand to each other and to its callers."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

__all__ = [
    "Digest",
    "Live",
    "Sample",
    "SchemaEntry",
    "Snapshot",
    "TableDigest",
    "Value",
    "differences",
]

Value: TypeAlias = int | float | str | bytes | None
"""A value of SQLite. Bytes of a text that are no UTF-8 are lone surrogates ("surrogateescape")."""

_MOST_NAMED: Final = 20


class Live(Protocol):
    """A database that runs somewhere and can be asked."""

    def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read, all in one transaction.

        Returns each one's rows as lists of JSON values: numbers, strings, null.
        """


@dataclass(frozen=True)
class Snapshot:
    """Say what was copied out of a live database.

    `consistent`: all of it was read in one transaction. Otherwise it was read in pieces, between
    which others may have written: compare bookmarks from before and after. `rows` counts the rows
    of all tables.
    """

    consistent: bool
    rows: int


class Model(BaseModel):
    """Hold a part of a digest."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SchemaEntry(Model):
    """Hold one table, index, view or trigger: `table` is the one it belongs to."""

    type: str
    name: str
    table: str
    sql: str


class Sample(Model):
    """Hold the hash of rows at evenly spaced keys between the first and the last one.

    `first` and `last` are hashes of these two keys. `lasting`: the keys are part of the content.
    Otherwise they are SQLite's own numbers of rows, which another dump may have given anew.
    """

    first: str
    last: str
    hash: str
    lasting: bool


class TableDigest(Model):
    """Hold what a table's content comes to.

    `hash` is the SHA-256 over all rows in the order of their keys, or, if there is a `sample`, over
    the first and the last ones. Both are None for a search index whose content can't be read.
    """

    name: str
    rows: int
    hash: str | None
    sample: Sample | None = None


class Digest(Model):
    """Hold what a database comes to: two with equal digests have the same schema and content.

    Not part of it: what SQLite and D1 keep for themselves, statistics of the query planner, and
    implicit row numbers, unless a search index refers to them.
    """

    entries: tuple[SchemaEntry, ...]
    tables: tuple[TableDigest, ...]
    sequences: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        """Return one hash of it all, in hex."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def rows(self) -> int:
        """Return the number of rows in all tables."""
        return sum(table.rows for table in self.tables)


def differences(live: Digest, restored: Digest) -> tuple[str, ...]:
    """Say in words what differs, naming tables and never a value; empty if nothing does."""
    return (
        *_schema_differences(live, restored),
        *_table_differences(live, restored),
        *(
            f"the next number of table {name} differs"
            for name in _unequal(dict(live.sequences), dict(restored.sequences))
        ),
    )


def _schema_differences(live: Digest, restored: Digest) -> list[str]:
    ours, theirs = ({(e.type, e.name): e for e in d.entries} for d in (live, restored))
    said = []
    for kind, name in _unequal(ours, theirs)[:_MOST_NAMED]:
        what = f"{kind} {name}"
        if (kind, name) not in theirs:
            said.append(f"{what} is missing")
        elif (kind, name) not in ours:
            said.append(f"{what} is not in the live database")
        else:
            said.append(f"{what} is defined differently")
    return said


def _table_differences(live: Digest, restored: Digest) -> list[str]:
    ours, theirs = ({t.name: t for t in d.tables} for d in (live, restored))
    said = []
    for name in _unequal(ours, theirs)[:_MOST_NAMED]:
        one, other = ours.get(name), theirs.get(name)
        if one is None or other is None:
            continue  # the schema says so already
        if one.rows != other.rows:
            said.append(f"table {name} has {other.rows} rows, not {one.rows}")
        elif one.hash != other.hash or _samples_differ(one.sample, other.sample):
            said.append(f"table {name} has other content")
    return said


def _samples_differ(one: Sample | None, other: Sample | None) -> bool:
    if one is None or other is None:
        return one is not other
    if (one.first, one.last) == (other.first, other.last):
        return one != other
    # The keys were given anew: then the two looked at different rows, which says nothing.
    return one.lasting or other.lasting


def _unequal(ours: Mapping[Any, Any], theirs: Mapping[Any, Any]) -> list[Any]:
    return sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
