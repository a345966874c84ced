"""In which order a schema's definitions are made, so that each finds what it needs."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.dumps.definitions import closed, is_unique_index, virtual_table
from shared.dumps.models import SchemaEntry
from shared.dumps.schema import Schema
from shared.dumps.values import quoted

__all__ = ["Definitions", "definitions"]


@dataclass(frozen=True)
class Definitions:
    """Hold whole statements: those that come before all rows, and those that come after them.

    A foreign key may point at what only a unique index makes unique, so these come first; other
    indexes are made faster at last. A search index that is made anew may read a view. A trigger
    that came before the rows would fire.
    """

    first: tuple[str, ...]
    last: tuple[str, ...]


def definitions(schema: Schema) -> Definitions:
    """Return a schema's definitions as statements.

    Raises:
        CannotDump: one can't be written as a statement.
    """
    tables, indexes = list(schema.of_type("table")), list(schema.of_type("index"))
    virtual = [entry for entry in tables if virtual_table(entry.sql) is not None]
    plain = [entry for entry in tables if entry not in virtual]
    unique = [entry for entry in indexes if is_unique_index(entry.sql)]
    others = [entry for entry in indexes if entry not in unique]
    rebuilt = (f"INSERT INTO {quoted(n)}({quoted(n)}) VALUES('rebuild');" for n in schema.rebuilt)
    return Definitions(
        _statements([*plain, *unique, *schema.of_type("view"), *virtual]),
        (*rebuilt, *_statements([*others, *schema.of_type("trigger")])),
    )


def _statements(entries: Iterable[SchemaEntry]) -> tuple[str, ...]:
    return tuple(closed(entry.sql, f"{entry.type} {entry.name}") for entry in entries)
