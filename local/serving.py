"""Serve a WSGI application on the loopback, in threads of this process."""

import socket
import threading
from typing import TYPE_CHECKING, Any

from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["QuietHandler", "Served"]


class QuietHandler(WSGIRequestHandler):
    """Keep connections open, answer without Nagle's delay, and write no line for each request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_request(self, *_: Any) -> None:
        """Say nothing: the functions' own logs tell what happened."""


class Served:
    """Serve an application on a socket that is listening already; its address is known before."""

    def __init__(self, opened: socket.socket, app: "WSGIApplication", name: str) -> None:
        self.url = f"http://127.0.0.1:{opened.getsockname()[1]}"
        self._server = make_server(
            "127.0.0.1",
            0,
            app,
            threaded=True,
            request_handler=QuietHandler,
            fd=opened.fileno(),
        )
        opened.close()  # the server has made a copy
        self._thread = threading.Thread(target=self._server.serve_forever, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests; returns when the port is free."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
