"""SQLite files to dump, and the same files asked as if they were live databases."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw
import pytest

from shared.dumps.sqlite import Local


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Sequence[str]], Path]:
    """Return what makes a SQLite file out of statements."""
    made: list[Path] = []

    def make(statements: Sequence[str]) -> Path:
        path = tmp_path / f"source_{len(made)}.sqlite"
        connection = apsw.Connection(str(path))
        for statement in statements:
            connection.execute(statement)
        connection.close()
        made.append(path)
        return path

    return make


@pytest.fixture
def as_live() -> Iterator[Callable[[Path], Local]]:
    """Return what asks a SQLite file as if it were a live database."""
    connections: list[apsw.Connection] = []

    def as_live(path: Path) -> Local:
        connections.append(apsw.Connection(str(path)))
        return Local(connections[-1])

    yield as_live
    for connection in connections:
        connection.close()
