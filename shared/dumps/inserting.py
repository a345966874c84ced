"""How a row comes back in: which statement inserts it, and in which columns."""

from typing import Final

from shared.dumps.schema import SEQUENCES, Role, Table
from shared.dumps.values import quoted

__all__ = ["EMPTY_SEQUENCES", "insertion"]

EMPTY_SEQUENCES: Final = f"DELETE FROM {SEQUENCES}"
"""The rows that were inserted have already moved the sequences: not to where they were."""


def insertion(table: Table) -> str:
    """Return the beginning of the statement that inserts rows as they were read, up to VALUES."""
    match table.role:
        case Role.SETTINGS:
            # FTS5 is told its settings through a column that has its own name.
            name = quoted(table.owner)
            return f"INSERT INTO {name}({name},rank)"
        case Role.SEQUENCES:
            return f"INSERT INTO {SEQUENCES}({','.join(table.columns)})"
        case Role.ROWS | Role.SEARCH:
            return f"INSERT INTO {quoted(table.name)}({','.join(table.columns)})"
