"""The D1 engine: one long-lived workerd that owns every database file.

The engine itself is the D1 simulator of the miniflare package, read from node_modules when the
emulator starts. workerd has no busy timeout, so a file must have one writer: everything goes
through this process.
"""

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx

from local.cloudflare import capnp
from local.cloudflare.supervisor import RuntimeFailed, Supervisor

__all__ = ["D1Engine", "Format", "SqlError", "Statement"]

log = logging.getLogger(__name__)

Format = Literal["ARRAY_OF_OBJECTS", "ROWS_AND_COLUMNS"]
Statement = tuple[str, Sequence[Any]]

_RUNTIME = Path(__file__).parent / "runtime"
_UNIQUE = "miniflare-D1DatabaseObject"
_KEY = "d1-host"
_EXPORT = "PRAGMA miniflare_d1_export(?,?,?);"


class SqlError(Exception):
    """Carry what the engine said against a query."""


class D1Engine:
    """Run SQL on databases by uuid. Safe to share between threads."""

    def __init__(
        self, data_dir: Path, packages: Path, supervisor: Callable[[], Supervisor]
    ) -> None:
        self._files = data_dir / "d1"
        self._run = data_dir / "run"
        self._packages = packages
        self._supervisor = supervisor
        self._lock = threading.Lock()
        self._port = 0
        self._known: set[str] = set()
        self._http = httpx.Client(timeout=120, trust_env=False)

    def start(self) -> int:
        """Start the host if it does not run yet; return its port."""
        with self._lock:
            if self._port == 0:
                self._port = self._serve("127.0.0.1:0")
                self._order("open", ids=sorted(self._known))
            return self._port

    def restart(self) -> None:
        """Bring the host back on its old port after it ended: running fronts know only that one."""
        with self._lock:
            self._serve(f"127.0.0.1:{self._port}")
            self._order("open", ids=sorted(self._known))

    def close(self) -> None:
        """Let go of the connections to the host."""
        self._http.close()

    def open(self, uuids: Sequence[str]) -> None:
        """Let these databases take queries."""
        with self._lock:
            self._known.update(uuids)
            if self._port != 0:
                self._order("open", ids=list(uuids))

    def bar(self, uuid: str, reason: str, seconds: float) -> None:
        """Refuse queries for `seconds`, or until `open`, and wait for those that run now."""
        self.start()
        self._order("close", id=uuid, reason=reason, seconds=seconds)

    def delete(self, uuid: str) -> None:
        """Make the database fail every query, and remove its files."""
        with self._lock:
            self._known.discard(uuid)
            if self._port != 0:
                self._order("forget", id=uuid)
        path = self.file(uuid)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def query(
        self,
        uuid: str,
        statements: Sequence[Statement],
        results: Format = "ARRAY_OF_OBJECTS",
        *,
        inside: bool = False,
    ) -> list[dict[str, Any]]:
        """Run statements as one transaction; return one answer of the engine for each.

        `inside` passes a bar that the emulator itself has put up.

        Raises:
            SqlError: the engine refused; nothing was changed.
        """
        body = [{"sql": sql, "params": list(params)} for sql, params in statements]
        answer = self._post(uuid, body, results, inside=inside)
        if isinstance(answer, dict):
            raise SqlError(str(answer.get("error", "Internal error")))
        answers: list[dict[str, Any]] = answer
        return answers

    def dump(self, uuid: str, *, no_schema: bool, no_data: bool, tables: Sequence[str]) -> str:
        """Return the SQL text of an export.

        Raises:
            SqlError: the database can't be exported, because it has virtual tables.
        """
        params = [int(no_schema), int(no_data), *tables]
        answer = self._post(
            uuid, [{"sql": _EXPORT, "params": params}], "ARRAY_OF_OBJECTS", inside=True
        )
        if isinstance(answer, dict) and answer.get("success"):
            lines: list[str] = answer["results"][0]
            return "\n".join(lines) + "\n"
        raise SqlError(str(answer.get("error")) if isinstance(answer, dict) else "Internal error")

    def writes(self, uuid: str) -> int:
        """Count the writes that the database has seen."""
        self.start()
        return int(self._order("writes", id=uuid)["writes"])

    def reload(self, uuid: str, writes: int) -> None:
        """Make the host read the file anew after it was changed from outside."""
        self._order("reload", id=uuid, writes=writes)

    def file(self, uuid: str) -> Path:
        """Return where workerd keeps a database: a name derived from ours as Durable Objects do."""
        key = hashlib.sha256(_UNIQUE.encode()).digest()
        name = hmac.new(key, uuid.encode(), hashlib.sha256).digest()[:16]
        check = hmac.new(key, name, hashlib.sha256).digest()[:16]
        return self._files / _UNIQUE / f"{(name + check).hex()}.sqlite"

    def _post(self, uuid: str, body: Any, results: Format, *, inside: bool) -> Any:
        headers = {"x-d1-id": uuid, "content-type": "application/json"}
        if inside:
            headers["x-d1-inside"] = "1"
        response = self._http.post(
            f"http://127.0.0.1:{self.start()}/query?resultsFormat={results}",
            content=json.dumps(body),
            headers=headers,
        )
        if response.status_code != 200:
            # The simulator does not catch all that it throws: then the stack comes as text.
            first = (response.text.strip() or "Internal error").splitlines()[0]
            return {"success": False, "error": first.removeprefix("Error: ")}
        return response.json()

    def _order(self, op: str, **order: Any) -> dict[str, Any]:
        response = self._http.post(f"http://127.0.0.1:{self._port}/", json={"op": op, **order})
        if response.status_code != 200:
            raise RuntimeFailed(f"the D1 host refused to {op}: {response.text[:500]}")
        result: dict[str, Any] = response.json()
        return result

    def _serve(self, address: str) -> int:
        self._files.mkdir(parents=True, exist_ok=True)
        simulator = self._packages / "miniflare" / "dist" / "src" / "workers"
        sources = {
            "database.worker.js": simulator / "d1" / "database.worker.js",
            "shared.js": simulator / "shared" / "index.worker.js",
            "zod.js": simulator / "shared" / "zod.worker.js",
            "d1_host.js": _RUNTIME / "d1_host.js",
            "d1_object.js": _RUNTIME / "d1_object.js",
        }
        missing = [str(path) for path in sources.values() if not path.is_file()]
        if missing:
            raise RuntimeFailed(f"run npm ci first, these are missing: {', '.join(missing)}")
        code = {name: capnp.text(path.read_text()) for name, path in sources.items()}
        config = self._run / "d1-host.capnp"
        config.write_text(_host_config(code, self._files))
        ports = self._supervisor().serve(_KEY, config, ["http"], addresses={"http": address})
        return ports["http"]


def _host_config(code: dict[str, str], files: Path) -> str:
    def module(name: str, source: str) -> str:
        return capnp.record(name=capnp.text(name), esModule=code[source])

    host = capnp.record(
        compatibilityDate=capnp.text("2026-04-01"),
        compatibilityFlags=capnp.bracket([capnp.text("nodejs_compat"), capnp.text("experimental")]),
        modules=capnp.bracket(
            module(name, name) for name in ("d1_host.js", "d1_object.js", "database.worker.js")
        ),
        durableObjectNamespaces=capnp.bracket(
            [
                capnp.record(
                    className=capnp.text("D1DatabaseObject"),
                    uniqueKey=capnp.text(_UNIQUE),
                    enableSql="true",
                )
            ]
        ),
        durableObjectStorage=capnp.record(localDisk=capnp.text("files")),
        bindings=capnp.bracket(
            [
                capnp.record(
                    name=capnp.text("DATABASES"),
                    durableObjectNamespace=capnp.text("D1DatabaseObject"),
                ),
                capnp.record(name=capnp.text("MINIFLARE_BLOBS"), service=capnp.text("files")),
                capnp.record(name=capnp.text("MINIFLARE_LOOPBACK"), service=capnp.text("host")),
            ]
        ),
    )
    return capnp.config(
        services=capnp.bracket(
            [
                capnp.record(
                    name=capnp.text("files"),
                    disk=capnp.record(path=capnp.text(str(files.resolve())), writable="true"),
                ),
                capnp.record(name=capnp.text("host"), worker=host),
            ]
        ),
        sockets=capnp.bracket(
            [
                capnp.record(
                    name=capnp.text("http"),
                    address=capnp.text("127.0.0.1:0"),
                    service=capnp.text("host"),
                )
            ]
        ),
        extensions=capnp.bracket(
            [
                capnp.record(
                    modules=capnp.bracket(
                        [module("miniflare:shared", "shared.js"), module("miniflare:zod", "zod.js")]
                    )
                )
            ]
        ),
    )
