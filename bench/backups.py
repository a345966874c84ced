"""Writing, loading and hashing dumps: how fast, and in how much memory.

Each step runs in a process of its own, so that its peak is its own: what its process has before it
begins is taken off.
"""

import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import apsw

from bench.rows import Row, Sample, Target
from shared.dumps import digest_of, load_sql, take_snapshot, write_dump
from shared.dumps.sqlite import Local

__all__ = ["measure_backups"]

MEGABYTE: Final = 1_000_000
_CHUNK: Final = 1 << 16
_ROW: Final = 600
_MEMORY: Final = Target("ours", 64)


def make_database(path: Path, megabytes: int) -> None:
    """Make a database of about this size: texts, numbers and blobs, indexed and searched."""
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF")
    connection.execute(
        """
        CREATE TABLE events (id INTEGER PRIMARY KEY, at REAL, kind TEXT, body TEXT, raw BLOB);
        CREATE INDEX by_kind ON events (kind, at);
        CREATE TABLE pairs (a TEXT, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
        """
    )
    words = "'note ' || hex(randomblob(60)) || ' it''s ' || hex(randomblob(60))"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
    count = (megabytes * MEGABYTE // _ROW,)
    connection.execute("BEGIN")
    connection.execute(
        f"{numbers} INSERT INTO events SELECT i, i / 7.0, 'kind ' || i % 9, {words},"
        " randomblob(150) FROM n",
        count,
    )
    connection.execute(f"{numbers} INSERT INTO pairs SELECT 'k' || i % 97, i FROM n", count)
    connection.execute("COMMIT")
    connection.close()


def _snapshot(folder: Path) -> None:
    connection = apsw.Connection(str(folder / "source"))
    take_snapshot(Local(connection), folder / "snapshot")


def _write(folder: Path) -> None:
    with (folder / "dump").open("wb") as file:
        for chunk in write_dump(folder / "source"):
            file.write(chunk)


def _load(folder: Path) -> None:
    load_sql(_chunks(folder / "dump"), folder / "restored", limits=True)


def _digest(folder: Path) -> None:
    digest_of(folder / "restored")


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


STEPS: Final[Mapping[str, Callable[[Path], None]]] = {
    "snapshot": _snapshot,
    "write": _write,
    "load": _load,
    "digest": _digest,
}


def measure_backups(megabytes: int) -> list[Row]:
    """Take a database of about this size through each step, from a copy to the proof.

    Of the whole database, speed is the size of its file by the time; memory must not grow with it.
    """
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_database(folder / "source", megabytes)
        size = (folder / "source").stat().st_size / MEGABYTE
        for step in STEPS:
            done = subprocess.run(
                [sys.executable, "-m", "bench.backups", step, name],
                check=True,
                capture_output=True,
                text=True,
            )
            measured = json.loads(done.stdout)
            name_of_step = f"{step} of a database of {size:.0f} MB"
            speed = Sample.of([size / measured["seconds"]])
            memory = Sample.of([measured["memory"]])
            rows.append(Row(name_of_step, "MB per s", speed, extra=measured))
            rows.append(Row(f"{name_of_step}, memory", "MB", memory, target=_MEMORY))
    return rows


def _peak() -> float:
    """Return the most memory that this process ever had, in MB.

    Linux says it of the program that runs now; `getrusage` also of the one that started it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        assert found is not None
        return int(found[1]) * 1024 / MEGABYTE
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE


if __name__ == "__main__":
    before, begun = _peak(), time.perf_counter()
    STEPS[sys.argv[1]](Path(sys.argv[2]))
    seconds = time.perf_counter() - begun
    print(json.dumps({"seconds": seconds, "memory": _peak() - before, "base": before}))
