"""The HTTP server: one thread a connection, kept alive, and a way to drop one without an answer."""

import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["Server"]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    # Answers go out in several small writes: each would wait for the receipt of the last.
    disable_nagle_algorithm = True

    def connection_dropped(self, error: BaseException, environ: Any = None) -> None:
        """End the connection: a client that waits on it must see that no answer comes."""
        super().connection_dropped(error, environ)
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing: the control door counts the calls."""


class _Threads(ThreadedWSGIServer):
    daemon_threads = True
    request_queue_size = 512


class Server:
    """Serve a WSGI application on 127.0.0.1."""

    def __init__(self, app: "WSGIApplication", port: int) -> None:
        self._server = _Threads("127.0.0.1", port, app, handler=_Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        return int(self._server.server_port)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more connections; requests that are being answered end with the process."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()
