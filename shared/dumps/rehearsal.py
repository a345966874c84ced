"""Migrations tried on a copy: whether a backup takes them is known before anybody depends on it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from shared.domain.migrations import LEDGER, MigrationFile
from shared.dumps.errors import NotRestorable
from shared.dumps.sqlite import edited

__all__ = ["rehearse"]

_NAMES: Final = f"SELECT name FROM {LEDGER}"
_NO_MIGRATION_NEEDS: Final = frozenset({apsw.SQLITE_ATTACH, apsw.SQLITE_DETACH})


def rehearse(path: Path, files: Sequence[MigrationFile]) -> None:
    """Apply to a SQLite file the migrations that its ledger lacks, each in a transaction.

    The ledger itself stays as it was: the copy is thrown away.

    Raises:
        NotRestorable: SQLite refuses one; it names the file and the statement's line.
    """
    with edited(path) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        try:
            applied = {str(name) for (name,) in connection.execute(_NAMES)}
        except apsw.SQLError:
            applied = set()  # it never had one
        connection.authorizer = _allowed
        for file in files:
            if file.name not in applied:
                _apply(connection, file)


def _apply(connection: apsw.Connection, file: MigrationFile) -> None:
    line = 0
    try:
        with connection:
            for line, statement in zip(file.lines, file.statements, strict=True):  # noqa: B007
                for _ in connection.execute(statement):
                    pass
    except (apsw.FullError, apsw.IOError, apsw.CantOpenError):
        raise
    except apsw.Error as error:
        raise NotRestorable(
            f"the data of this backup does not take migration {file.name}, line {line}: {error}"
        ) from error


def _allowed(action: int, *_: str | None) -> int:
    return apsw.SQLITE_DENY if action in _NO_MIGRATION_NEEDS else apsw.SQLITE_OK
