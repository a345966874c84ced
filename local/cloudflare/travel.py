"""Time travel: bookmarks that move with each write, and going back to one that was handed out.

The real one can go back to any moment of 30 days. Here a copy of the file is kept for each bookmark
that somebody asked for (which is what a careful caller does before a risky step), and for the empty
start.
"""

import contextlib
import hashlib
import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from local.cloudflare.account import Account
from local.cloudflare.databases import Database
from local.cloudflare.engine import D1Engine
from local.cloudflare.envelope import ApiError

__all__ = ["TimeTravel"]

MOST_COPIES = 20
_RESTORING = "D1 DB storage is being restored."


@dataclass(frozen=True)
class TimeTravel:
    """Hand out bookmarks and go back to them. Safe to share between threads."""

    account: Account
    engine: D1Engine
    folder: Path
    _lock: threading.Lock

    @classmethod
    def build(cls, account: Account, engine: D1Engine, folder: Path) -> "TimeTravel":
        """Keep the copies in a folder."""
        return cls(account, engine, folder, threading.Lock())

    def current(self, uuid: str) -> str:
        """Return the bookmark of now, without keeping a copy."""
        return _bookmark(uuid, self.engine.writes(uuid))

    def bookmark(self, database: Database, timestamp: str | None) -> str:
        """Return the bookmark of now, or of the last copy at or before a time (RFC 3339)."""
        if timestamp is not None:
            return self._at(database, timestamp)
        with self._lock:
            bookmark = self.current(database.uuid)
            path = self._copy(database.uuid, bookmark)
            if not path.exists():
                self._save(database.uuid, path)
        return bookmark

    def restore(
        self, database: Database, bookmark: str | None, timestamp: str | None
    ) -> dict[str, str]:
        """Go back; queries are refused meanwhile. The way back is `previous_bookmark`."""
        if timestamp is not None:
            bookmark = self._at(database, timestamp)
        if bookmark is None:
            raise ApiError(400, 7400, "Invalid property: bookmark => Required")
        uuid = database.uuid
        source = self._copy(uuid, bookmark)
        if not source.exists() and bookmark != _bookmark(uuid, 0):
            raise ApiError(400, 7500, "no history available for this bookmark")
        previous = self.bookmark(database, None)
        with self._lock:
            self.engine.bar(uuid, _RESTORING, 60)
            try:
                writes = self.engine.writes(uuid) + 1
                _overwrite(source, self.engine.file(uuid))
                self.engine.reload(uuid, writes)
            finally:
                self.engine.open([uuid])
        return {
            "bookmark": _bookmark(uuid, writes),
            "previous_bookmark": previous,
            "message": f"The database was restored to bookmark {bookmark}.",
        }

    def forget(self, uuid: str) -> None:
        """Drop the copies of a deleted database."""
        for path in self.folder.glob(f"{uuid}/*"):
            path.unlink()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / uuid).rmdir()

    def _copy(self, uuid: str, bookmark: str) -> Path:
        # Only a name that we made ourselves may become a path.
        name = hashlib.sha256(bookmark.encode()).hexdigest()
        return self.folder / uuid / f"{name}.sqlite"

    def _save(self, uuid: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with (
            contextlib.closing(_open(self.engine.file(uuid), "ro")) as live,
            contextlib.closing(sqlite3.connect(part)) as copy,
        ):
            live.backup(copy)
        part.replace(path)
        taken = path.with_suffix(".time")
        taken.write_text(f"{self.account.clock()} {self.current(uuid)}")
        kept = sorted(
            path.parent.glob("*.time"), key=lambda item: float(item.read_text().split()[0])
        )
        for old in kept[:-MOST_COPIES]:
            old.with_suffix(".sqlite").unlink(missing_ok=True)
            old.unlink()

    def _at(self, database: Database, timestamp: str) -> str:
        try:
            wanted = datetime.fromisoformat(timestamp).astimezone(UTC).timestamp()
        except ValueError as error:
            raise ApiError(400, 7400, "Invalid property: timestamp => Invalid date") from error
        if wanted < datetime.fromisoformat(database.created_at).timestamp():
            raise ApiError(400, 7400, "Invalid property: timestamp => before the database existed")
        if wanted >= self.account.clock():
            return self.bookmark(database, None)
        taken = [
            (float(when), bookmark)
            for path in (self.folder / database.uuid).glob("*.time")
            for when, bookmark in [path.read_text().split()]
            if float(when) <= wanted
        ]
        return max(taken)[1] if taken else _bookmark(database.uuid, 0)


def _bookmark(uuid: str, writes: int) -> str:
    digest = hashlib.md5(f"{uuid}:{writes}".encode(), usedforsecurity=False).hexdigest()
    return f"{0:08x}-{writes:08x}-{0:08x}-{digest}"


def _open(path: Path, mode: str) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode={mode}", uri=True)


def _overwrite(source: Path, target: Path) -> None:
    """Write a copy over the live file in one transaction; no source means an empty database."""
    with contextlib.closing(_open(target, "rw")) as live:
        if source.exists():
            with contextlib.closing(_open(source, "ro")) as copy:
                copy.backup(live)
        else:
            with contextlib.closing(sqlite3.connect(":memory:")) as empty:
                empty.execute("PRAGMA page_size = 4096")
                empty.execute("VACUUM")
                empty.backup(live)
