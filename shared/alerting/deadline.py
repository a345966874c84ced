"""A whole exchange within seconds, whatever the other side does.

httpx limits each wait, but not how many there are: whoever sends a byte now and then would hold the
sweep until Lambda ends it, and with it everything that the sweep has yet to do.
"""

import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self

__all__ = ["Deadline"]

_CONNECTED: Final = frozenset({"connection.connect_tcp.complete", "connection.start_tls.complete"})


class Deadline:
    """End a connection when its time is over; `watch` is what httpx calls `trace`.

    Whoever reads from it then gets httpx's error of a connection that broke, and finds it `over`.
    """

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.over = False

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn which connection it is: of TLS the outermost, for it owns the other."""
        if event in _CONNECTED:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.over:
                self._end()

    def _end(self) -> None:
        self.over = True
        if self._socket is not None:
            with suppress(OSError):
                # The plain one: TLS's own would take away what the reader is reading from.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self._timer.join()
