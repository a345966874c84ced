"""The emulator's memory across restarts: JSON documents by kind and key, in one SQLite file."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

__all__ = ["Store"]


class Store:
    """Keep documents; each change is written through. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # The emulator may be killed at any time; a power cut may lose the last changes.
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS document "
            "(kind TEXT, key TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, key))"
        )

    def put(self, kind: str, key: str, body: str) -> None:
        """Write a document, over an older one."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO document VALUES (?, ?, ?)", (kind, key, body))

    def delete(self, kind: str, key: str) -> None:
        """Remove a document, if it is there."""
        with self._lock:
            self._db.execute("DELETE FROM document WHERE kind = ? AND key = ?", (kind, key))

    def all(self, kind: str) -> Iterator[tuple[str, str]]:
        """Read every document of a kind in the order of their first writing: key and body."""
        with self._lock:
            rows = self._db.execute(
                "SELECT key, body FROM document WHERE kind = ? ORDER BY rowid", (kind,)
            ).fetchall()
        yield from rows

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()
