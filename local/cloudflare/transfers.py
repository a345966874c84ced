"""D1's export and import: asked for, then polled; the database takes no queries meanwhile."""

import hashlib
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from local.cloudflare.engine import D1Engine, SqlError
from local.cloudflare.envelope import ApiError
from local.cloudflare.sql import IncompleteInput, split

__all__ = ["LINK_SECONDS", "Transfers"]

LINK_SECONDS = 3600.0
_MOST_SECONDS = 600.0
_EXPORTING = "Currently processing a long-running export."
_IMPORTING = "Currently processing a long-running import."
_MD5 = re.compile(r"[0-9a-f]{32}")


@dataclass
class _Job:
    bookmark: str
    filename: str
    polled: float
    outcome: dict[str, Any]
    done: bool = False


@dataclass
class _Link:
    body: bytes
    expires: float


@dataclass
class Transfers:
    """Run the exports and imports of all databases. Safe to share between threads.

    An export that nobody polls for `idle` seconds is cancelled; the database takes queries again.
    """

    engine: D1Engine
    bookmark: Callable[[str], str]
    idle: float = 15.0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _exports: dict[str, _Job] = field(default_factory=dict)
    _imports: dict[str, _Job] = field(default_factory=dict)
    _beginning: set[str] = field(default_factory=set)  # exports whose dump is being made
    _links: dict[str, _Link] = field(default_factory=dict)
    _uploads: dict[str, bytes | None] = field(default_factory=dict)  # path → body once it is there

    def check_open(self, uuid: str) -> None:
        """Refuse a query while the database is being exported."""
        with self._lock:
            if uuid in self._beginning or self._active(uuid) is not None:
                raise ApiError(400, 7500, _EXPORTING)

    def export(self, uuid: str, request: dict[str, Any], base: str) -> tuple[int, dict[str, Any]]:
        """Start an export or poll it; return the answer's status and result. `base` makes links."""
        if request.get("output_format") != "polling":
            raise ApiError(400, 7400, "Invalid property: output_format => Expected polling")
        bookmark = request.get("current_bookmark")
        with self._lock:
            if uuid in self._beginning:
                return 200, {"success": False, "error": _EXPORTING}
            job = self._active(uuid)
            if bookmark is not None:
                return 200, self._poll_export(uuid, job, bookmark, base)
            if job is not None:
                return 202, _active(job)
            self._beginning.add(uuid)
        try:
            return self._begin_export(uuid, request)
        finally:
            with self._lock:
                self._beginning.remove(uuid)

    def import_(self, uuid: str, request: dict[str, Any], base: str) -> dict[str, Any]:
        """Take one step of an import; return the answer's result. `base` makes the upload link."""
        action = request.get("action")
        if action == "poll":
            with self._lock:
                job = self._imports.get(uuid)
                if job is None or job.bookmark != request.get("current_bookmark"):
                    return {"success": False, "error": "Not currently importing anything."}
                return job.outcome
        etag = request.get("etag")
        if action not in {"init", "ingest"} or not isinstance(etag, str):
            raise ApiError(400, 7400, "Invalid property: action => Expected init | ingest | poll")
        if not _MD5.fullmatch(etag):
            raise ApiError(400, 7400, "Invalid property: etag => Expected an MD5 in hex")
        filename = f"{uuid}.{etag}.sql"
        path = f"imports/{filename}"
        with self._lock:
            body = self._uploads.get(path)
            if action == "init" and body is None:
                self._uploads[path] = None
                return {"upload_url": f"{base}/__r2/{path}", "filename": filename}
            if body is None or request.get("filename", filename) != filename:
                return {"success": False, "error": "The file was not uploaded."}
            del self._uploads[path]
        return self._ingest(uuid, filename, body)

    def upload(self, path: str, body: bytes) -> str | None:
        """Keep a file that `init` promised; return its MD5, or None when it was not promised."""
        digest = hashlib.md5(body, usedforsecurity=False).hexdigest()
        with self._lock:
            if path not in self._uploads or f".{digest}." not in path:
                return None
            self._uploads[path] = body
        return digest

    def download(self, path: str) -> bytes | None:
        """Return the file behind a signed link, or None when it is unknown or too old."""
        with self._lock:
            link = self._links.get(path)
            if link is None or link.expires < time.monotonic():
                self._links.pop(path, None)
                return None
            return link.body

    def forget(self, uuid: str) -> None:
        """Drop what belongs to a deleted database."""
        with self._lock:
            self._exports.pop(uuid, None)
            self._imports.pop(uuid, None)

    def _active(self, uuid: str) -> _Job | None:
        job = self._exports.get(uuid)
        if job is None or job.done:
            return None
        now = time.monotonic()
        if now - job.polled > self.idle:
            del self._exports[uuid]
            return None
        return job

    def _poll_export(self, uuid: str, job: _Job | None, bookmark: str, base: str) -> dict[str, Any]:
        if job is None:
            finished = self._exports.get(uuid)
            if finished and finished.done and finished.bookmark == bookmark:
                return finished.outcome
            return {"success": False, "error": "Not currently exporting anything."}
        if job.bookmark != bookmark:
            return {"success": False, "error": "That export is not the current one."}
        job.done = True
        self.engine.open([uuid])
        link = job.outcome["result"]
        link["signed_url"] = f"{base}/__r2/{link['signed_url']}"
        return job.outcome

    def _begin_export(self, uuid: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        options = request.get("dump_options") or {}
        tables = options.get("tables") or []
        if not isinstance(tables, list) or not all(isinstance(name, str) for name in tables):
            raise ApiError(400, 7400, "Invalid property: dump_options.tables => Expected strings")
        self.engine.bar(uuid, _EXPORTING, _MOST_SECONDS)
        bookmark = self.bookmark(uuid)
        try:
            text = self.engine.dump(
                uuid,
                no_schema=bool(options.get("no_schema")),
                no_data=bool(options.get("no_data")),
                tables=tables,
            )
        except SqlError as error:
            self.engine.open([uuid])
            return 200, _job_answer("export", "error", bookmark, error=str(error))
        filename = f"{uuid}-{bookmark}.sql"
        link = f"exports/{uuid4().hex}/{filename}"
        outcome = _job_answer("export", "complete", bookmark)
        outcome["result"] = {"filename": filename, "signed_url": link}
        job = _Job(bookmark, filename, time.monotonic(), outcome)
        self.engine.bar(uuid, _EXPORTING, self.idle)
        with self._lock:
            self._links[link] = _Link(text.encode(), time.monotonic() + LINK_SECONDS)
            self._exports[uuid] = job
        return 202, _active(job)

    def _ingest(self, uuid: str, filename: str, body: bytes) -> dict[str, Any]:
        self.check_open(uuid)
        try:
            statements = split(body.decode())
            self.engine.bar(uuid, _IMPORTING, _MOST_SECONDS)
            answers = self.engine.query(uuid, [(sql, ()) for sql in statements], inside=True)
        except (SqlError, IncompleteInput, UnicodeDecodeError) as error:
            outcome = _job_answer("import", "error", self.bookmark(uuid), error=str(error))
            outcome["errors"] = [str(error)]
        else:
            final = self.bookmark(uuid)
            outcome = _job_answer("import", "complete", final)
            outcome["result"] = {
                "num_queries": len(statements),
                "final_bookmark": final,
                "meta": _sum([answer["meta"] for answer in answers]),
            }
        finally:
            self.engine.open([uuid])
        job = _Job(outcome["at_bookmark"], filename, time.monotonic(), outcome, done=True)
        with self._lock:
            self._imports[uuid] = job
        active = _active(job)
        return {**active, "type": "import", "messages": ["Processing the file."]}


def _job_answer(kind: str, status: str, bookmark: str, **more: Any) -> dict[str, Any]:
    return {
        "success": True,
        "type": kind,
        "status": status,
        "at_bookmark": bookmark,
        "messages": [],
        **more,
    }


def _active(job: _Job) -> dict[str, Any]:
    answer = _job_answer("export", "active", job.bookmark)
    return {**answer, "messages": ["Uploaded part 1"]}


def _sum(metas: list[dict[str, Any]]) -> dict[str, Any]:
    last = metas[-1] if metas else {"last_row_id": 0, "size_after": 0}
    return {
        "served_by_primary": True,
        "duration": sum(meta["duration"] for meta in metas),
        "changes": sum(meta["changes"] for meta in metas),
        "last_row_id": last["last_row_id"],
        "changed_db": any(meta["changed_db"] for meta in metas),
        "size_after": last["size_after"],
        "rows_read": sum(meta["rows_read"] for meta in metas),
        "rows_written": sum(meta["rows_written"] for meta in metas),
    }
