"""A server on the loopback that takes what channels post, and answers as it is told to."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Answer", "Posted", "Receiver"]


@dataclass(frozen=True)
class Posted:
    """One request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What to answer; `hang`: nothing, until the receiver is stopped."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False


class Receiver:
    """Take requests until stopped; `answers` are given one by one by path, then `usual`."""

    def __init__(self, usual: Answer | None = None) -> None:
        self.posted: list[Posted] = []
        self.answers: dict[str, list[Answer]] = {}
        self.usual: Callable[[str], Answer] = lambda _: usual or Answer()
        self._stopped = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self._server.server_address[1])

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Return the URL of a path."""
        return f"http://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Posted]:
        """Return what came in at a path."""
        return [each for each in self.posted if each.path == path]

    def take(self, posted: Posted) -> Answer | None:
        """Note a request; return what to answer, None once it hung long enough."""
        self.posted.append(posted)
        waiting = self.answers.get(posted.path, [])
        answer = waiting.pop(0) if waiting else self.usual(posted.path)
        if answer.hang:
            self._stopped.wait()
            return None
        return answer

    def stop(self) -> None:
        """Stop; requests that hang end without an answer."""
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(("127.0.0.1", 0), _Door)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of who went away before the whole answer came."""


class _Door(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in self.headers.items()}
        answer = self.server.receiver.take(Posted(self.path, headers, body))
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        return
