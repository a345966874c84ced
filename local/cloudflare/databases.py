"""The account's D1 databases: their names, and their lives."""

import re
import sqlite3
import threading
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict

from local.cloudflare.account import Account
from local.cloudflare.engine import D1Engine
from local.cloudflare.envelope import ApiError
from local.cloudflare.store import Store

__all__ = ["FIELDS", "Database", "Databases"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HINTS = ("wnam", "enam", "weur", "eeur", "apac", "oc")
_JURISDICTIONS = ("eu", "fedramp", "us")
_MODES = ("auto", "disabled")
_KIND = "database"

FIELDS = (
    "uuid",
    "name",
    "created_at",
    "version",
    "num_tables",
    "file_size",
    "running_in_region",
    "jurisdiction",
    "read_replication",
)


class Database(BaseModel):
    """One database. Only its read replication ever changes."""

    model_config = ConfigDict(frozen=True)

    uuid: str
    name: str
    created_at: str
    jurisdiction: str | None
    region: str
    replication: str = "disabled"

    def brief(self) -> dict[str, Any]:
        """Show the database as a list does."""
        return {
            "uuid": self.uuid,
            "name": self.name,
            "version": "production",
            "created_at": self.created_at,
            "jurisdiction": self.jurisdiction,
        }


class Databases:
    """Keep databases by uuid and by name. Safe to share between threads."""

    def __init__(self, account: Account, store: Store, engine: D1Engine) -> None:
        self._account = account
        self._store = store
        self._engine = engine
        self._lock = threading.Lock()
        self._by_uuid: dict[str, Database] = {}
        self._by_name: dict[str, str] = {}

    def load(self) -> None:
        """Read what the store remembers."""
        for _, body in self._store.all(_KIND):
            database = Database.model_validate_json(body)
            self._by_uuid[database.uuid] = database
            self._by_name[database.name] = database.uuid
        self._engine.open(list(self._by_uuid))

    def create(self, request: dict[str, Any]) -> Database:
        """Make a database; 7400 for bad properties, 7502 for a name in use, 7406 at the limit."""
        name = request.get("name")
        if not isinstance(name, str):
            raise _bad("name", "Required")
        if not _NAME.fullmatch(name):
            raise _bad("name", "Invalid")
        hint = _choice(request, "primary_location_hint", _HINTS)
        jurisdiction = _choice(request, "jurisdiction", _JURISDICTIONS)
        mode = _mode(request.get("read_replication", {"mode": "disabled"}))
        with self._lock:
            if name in self._by_name:
                raise ApiError(400, 7502, f"A database with the name '{name}' already exists")
            if len(self._by_uuid) >= self._account.databases:
                raise ApiError(
                    400,
                    7406,
                    f"System limit reached: databases per account ({self._account.databases})",
                )
            region = {"eu": "weur", "fedramp": "enam", "us": "enam"}.get(jurisdiction or "", hint)
            database = Database(
                uuid=str(uuid4()),
                name=name,
                created_at=self._account.now(),
                jurisdiction=jurisdiction,
                region=(region or "weur").upper(),
                replication=mode,
            )
            self._engine.open([database.uuid])
            self._by_uuid[database.uuid] = database
            self._by_name[name] = database.uuid
            self._store.put(_KIND, database.uuid, database.model_dump_json())
        return database

    def exists(self, uuid: str) -> bool:
        """Say whether there is a database of this uuid."""
        return uuid in self._by_uuid

    def find(self, uuid_or_name: str) -> Database:
        """Find a database; 7404 when there is none."""
        with self._lock:
            uuid = self._by_name.get(uuid_or_name, uuid_or_name)
            database = self._by_uuid.get(uuid)
        if database is None:
            raise ApiError(404, 7404, f"The database {uuid_or_name} could not be found")
        return database

    def by_uuid(self, uuid: str) -> Database:
        """Find a database for a route that takes no name; 7400 for what is no uuid."""
        if not _UUID.fullmatch(uuid):
            raise _bad("databaseId", "Invalid uuid")
        return self.find(uuid)

    def search(self, part: str) -> list[Database]:
        """List databases whose name contains `part` in any case, the oldest first."""
        with self._lock:
            found = list(self._by_uuid.values())
        return [item for item in found if part.lower() in item.name.lower()]

    def replicate(self, uuid: str, request: dict[str, Any], *, required: bool) -> Database:
        """Change the mode of read replication."""
        if required and "read_replication" not in request:
            raise _bad("read_replication", "Required")
        database = self.by_uuid(uuid)
        if "read_replication" in request:
            mode = _mode(request["read_replication"])
            database = database.model_copy(update={"replication": mode})
            with self._lock:
                if uuid in self._by_uuid:
                    self._by_uuid[uuid] = database
                    self._store.put(_KIND, uuid, database.model_dump_json())
        return database

    def delete(self, uuid: str) -> None:
        """Remove a database and its file for good; bindings to it fail from now on."""
        database = self.by_uuid(uuid)
        with self._lock:
            if self._by_uuid.pop(uuid, None) is None:
                raise ApiError(404, 7404, f"The database {uuid} could not be found")
            del self._by_name[database.name]
            self._store.delete(_KIND, uuid)
        self._engine.delete(uuid)

    def show(self, database: Database, fields: Iterable[str] = FIELDS) -> dict[str, Any]:
        """Show a database in full, or only some fields; its size is looked up only on demand."""
        wanted = list(fields)
        unknown = [name for name in wanted if name not in FIELDS]
        if unknown:
            raise _bad("fields", f"Invalid enum value '{unknown[0]}'")
        full = {
            **database.brief(),
            "running_in_region": database.region,
            "read_replication": {"mode": database.replication},
        }
        if "file_size" in wanted or "num_tables" in wanted:
            full["file_size"], full["num_tables"] = self._measure(database.uuid)
        return {name: full[name] for name in wanted}

    def _measure(self, uuid: str) -> tuple[int, int]:
        """Read size and tables from the file: that does no harm beside an engine that writes."""
        path = self._engine.file(uuid)
        if not path.exists():
            return 12288, 0
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            pages, size = (
                db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
            )
            tables = db.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'table' "
                "AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'"
            ).fetchone()[0]
        except sqlite3.OperationalError:  # being made or restored right now
            return 12288, 0
        finally:
            db.close()
        return pages * size, tables


def _bad(name: str, what: str) -> ApiError:
    return ApiError(400, 7400, f"Invalid property: {name} => {what}")


def _choice(request: dict[str, Any], name: str, known: tuple[str, ...]) -> str | None:
    value = request.get(name)
    if value is not None and value not in known:
        raise _bad(name, f"Invalid enum value. Expected {' | '.join(known)}")
    return value


def _mode(value: Any) -> str:
    mode = value.get("mode") if isinstance(value, dict) else None
    if mode not in _MODES:
        raise _bad("read_replication.mode", f"Invalid enum value. Expected {' | '.join(_MODES)}")
    return str(mode)
