"""A proxy between the functions and all that they call: it takes notes, and it kills.

It passes a request on, waits for the answer, and only then, when what was asked for has happened,
it may kill the process that asked, and let nobody hear the answer. Who asked is known from the
connection: the process that owns its other end.
"""

import http.client
import os
import signal
import socket
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import SplitResult, urlsplit

import psutil

from tests.support.effects import Change, change_of

__all__ = ["Effect", "Killing", "Proxy"]

PATIENCE = 10.0
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "content-length", "expect", "host"}
)


@dataclass(frozen=True, order=True)
class Effect:
    """A side effect: whose it was, what it was, and the how manieth of its kind in this run."""

    function: str
    what: str
    number: int = 1

    def __str__(self) -> str:
        again = f" ({self.number})" if self.number > 1 else ""
        return f"{self.function}: {self.what}{again}"


@dataclass(frozen=True)
class Killing:
    """A kill that was done; `gone` says that the process was no more when it was looked for.

    `did` is all that the process had done in this run, the effect being the last.
    """

    effect: Effect
    pid: int
    gone: bool
    did: tuple[str, ...]


class Proxy:
    """Stand between the functions and several addresses.

    `processes` says which functions have which processes; none until it is set. `tap` is given each
    request: where it goes, and its body. Effects are only counted between `watch()` and the next;
    those about tenants and databases that were named before are not.
    """

    def __init__(self, tap: Callable[[str, bytes], None] = lambda _url, _body: None) -> None:
        self.processes: Callable[[], Mapping[str, Sequence[int]]] = dict
        self.tap = tap
        self._servers: list[_Server] = []
        self._lock = threading.Lock()
        self._effects: list[Effect] = []
        self._by_pid: defaultdict[int, list[str]] = defaultdict(list)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._named: set[str] = set()
        self._old: frozenset[str] = frozenset()
        self._target: Effect | None = None
        self.killing: Killing | None = None

    def stand_before(self, url: str) -> str:
        """Return the address that leads to `url` through here."""
        parts = urlsplit(url)
        server = _Server(self, parts)
        self._servers.append(server)
        threading.Thread(target=server.serve_forever, name=f"proxy of {url}", daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}{parts.path}"

    def stop(self) -> None:
        """Take no more requests."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def watch(self, kill_after: Effect | None = None) -> None:
        """Begin a new run; kill right after this effect of it."""
        with self._lock:
            self._effects, self._counts = [], Counter()
            self._by_pid.clear()
            self._old = frozenset(self._named)
            self._target, self.killing = kill_after, None

    def effects(self) -> list[Effect]:
        """Return the side effects of this run so far, in their order."""
        with self._lock:
            return list(self._effects)

    def owner(self, port: int) -> tuple[str, int] | None:
        """Return function and process id of who holds the other end of a connection."""
        for function, pids in self.processes().items():
            for pid in pids:
                if port in _ports(pid):
                    return function, pid
        return None

    def happened(self, change: Change, function: str, pid: int) -> bool:
        """Note a change that was committed; say whether its maker was killed for it."""
        with self._lock:
            self._named |= change.names
            if change.names and change.names <= self._old:
                return False
            self._counts[function, change.what] += 1
            effect = Effect(function, change.what, self._counts[function, change.what])
            self._effects.append(effect)
            self._by_pid[pid].append(change.what)
            if effect != self._target:
                return False
            self._target = None
            did = tuple(self._by_pid[pid])
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while psutil.pid_exists(pid) and time.monotonic() < until:
            time.sleep(0.01)
        self.killing = Killing(effect, pid, not psutil.pid_exists(pid), did)
        return True


def _ports(pid: int) -> Iterator[int]:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp4")
    except psutil.Error:
        return  # it ended meanwhile
    for connection in connections:
        if connection.laddr:
            yield connection.laddr.port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, proxy: Proxy, upstream: SplitResult) -> None:
        self.proxy = proxy
        self.upstream = upstream
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that a killed process left."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        self._owner: tuple[str, int] | None = None
        super().setup()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.server.proxy.tap(f"{self.server.upstream.geturl()} {self.path}", body)
        change = change_of(self.command, self.path, dict(self.headers.items()), body)
        if change is not None and self._owner is None:
            self._owner = self.server.proxy.owner(self.client_address[1])
        status, headers, answer = self._ask(body)
        if (
            change is not None
            and self._owner is not None
            and status < 300
            and self.server.proxy.happened(change, *self._owner)
        ):
            self.close_connection = True
            return
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(upstream.hostname or "", upstream.port, timeout=60)
        try:
            kept = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.request(self.command, self.path, body or None, kept)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._pass_on
        raise AttributeError(name)

    def log_message(self, *_: Any) -> None:
        return
