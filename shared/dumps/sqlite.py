"""SQLite files of our own: opened, asked like a live database, and what SQLite says translated."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw

from shared.dumps.errors import CannotDump, NotRestorable

__all__ = ["Local", "edited", "new_file", "opened"]


class Local:
    """A SQLite file, asked like a live database.

    So both are read by the same questions, and can't be read differently.
    """

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read; the caller holds the transaction."""
        execute = self._connection.execute
        return [[list(row) for row in execute(statement)] for statement in statements]


@contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """Open a SQLite file to read it, all in one transaction.

    Raises:
        FileNotFoundError: there is none.
        NotRestorable: it is no SQLite file, or a damaged one.
    """
    if not path.is_file():
        raise FileNotFoundError(path)
    with _closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        try:
            connection.execute("BEGIN")
            yield connection
        except apsw.Error as error:
            raise NotRestorable(
                f"SQLite can't read the file {path.name} ({type(error).__name__})"
            ) from error


@contextmanager
def edited(path: Path) -> Iterator[apsw.Connection]:
    """Open a SQLite file that is there to change it; nobody else has it, and it is thrown away."""
    with _closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        yield connection


@contextmanager
def new_file(path: Path) -> Iterator[apsw.Connection]:
    """Make a SQLite file in place of whatever is there, all in one transaction.

    It stays only if the block ends without an error: half a file must not be taken for a whole one.
    It needs no journal, since nobody else has it and it is thrown away when anything fails.

    Raises:
        CannotDump: the disk is full, or fails.
    """
    for leftover in (path, *(path.with_name(path.name + end) for end in ("-journal", "-wal"))):
        leftover.unlink(missing_ok=True)
    try:
        with _closing(apsw.Connection(str(path))) as connection:
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            yield connection
            if connection.in_transaction:
                connection.execute("COMMIT")
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, apsw.FullError | apsw.IOError | apsw.CantOpenError):
            raise CannotDump(
                f"this machine's disk takes no more of {path.name}: SQLite says {error}"
            ) from error
        raise


@contextmanager
def _closing(connection: apsw.Connection) -> Iterator[apsw.Connection]:
    try:
        yield connection
    finally:
        connection.close()
