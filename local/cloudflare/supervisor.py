"""Python's side of `runtime/supervisor.mjs`, which owns every workerd and the switch."""

import contextlib
import itertools
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

__all__ = ["RuntimeFailed", "Supervisor"]

log = logging.getLogger(__name__)

_SCRIPT = Path(__file__).parent / "runtime" / "supervisor.mjs"
_START_SECONDS = 20.0


class RuntimeFailed(Exception):  # noqa: N818 - it is what happened
    """Say that a process of the runtime did not start, or is gone."""


class Supervisor:
    """Start and stop workerd processes, and steer the switch.

    `on_exit` is called, in a thread of its own, with the key of a process that ended by itself.
    """

    def __init__(self, root: Path, log_file: Path, on_exit: Callable[[str], None]) -> None:
        self._root = root
        self._log_file = log_file
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._waiting: dict[int, Future[dict[str, Any]]] = {}
        self._pids: dict[str, int] = {}
        self._ready: Future[dict[str, Any]] = Future()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._stopping = False
        self.workers_port = 0
        self.compatibility_date = ""

    def start(self, workers_port: int) -> None:
        """Start the supervisor; its switch listens on the port (0: any free one).

        Raises:
            RuntimeFailed: Node or its packages are not there, or the port is taken.
        """
        with self._log_file.open("a") as output:
            try:
                # Not a session of its own: a kill of the whole group must reach every process.
                self._process = subprocess.Popen(
                    ["node", str(_SCRIPT), str(self._root), str(workers_port)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    text=True,
                )
            except OSError as error:
                raise RuntimeFailed(f"node does not start: {error}") from error
        stdout = self._process.stdout
        if stdout is None:
            raise RuntimeFailed("the supervisor has no stdout")
        self._reader = threading.Thread(target=self._read, args=(stdout,), daemon=True)
        self._reader.start()
        try:
            message = self._ready.result(_START_SECONDS)
        except TimeoutError as error:
            self.stop()
            raise RuntimeFailed("the supervisor of the Workers did not start in time") from error
        self.workers_port = int(message["port"])
        self.compatibility_date = str(message["compatibilityDate"])

    def serve(
        self,
        key: str,
        config: Path,
        sockets: list[str],
        *,
        addresses: dict[str, str] | None = None,
        seconds: float = 30.0,
    ) -> dict[str, int]:
        """Start a workerd and wait until it listens; return the port of each socket.

        Raises:
            RuntimeFailed: it ended first, or took longer; the message is what it said.
        """
        answer = self._call(
            "serve",
            seconds + 10,
            key=key,
            config=str(config),
            sockets=sockets,
            log=str(self._log_file),
            timeout=round(seconds * 1000),
            addresses=addresses or {},
        )
        with self._lock:
            self._pids[key] = int(answer["pid"])
        return {name: int(port) for name, port in answer["ports"].items()}

    def stop_one(self, key: str) -> None:
        """End a workerd and wait for it."""
        self._call("stop", 15, key=key)
        with self._lock:
            self._pids.pop(key, None)

    def route(self, key: str, routes: dict[str, int]) -> None:
        """Send new requests to this front; the one before ends when its last request has."""
        self._call("route", 10, key=key, routes=routes)

    def stop(self) -> None:
        """End everything, and wait for it."""
        self._stopping = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self._kill_children()
        if self._reader is not None:
            self._reader.join()
        if process.stdout is not None:
            process.stdout.close()

    def _call(self, op: str, seconds: float, **options: Any) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None:
            raise RuntimeFailed("the supervisor of the Workers is not running")
        future: Future[dict[str, Any]] = Future()
        with self._lock:
            number = next(self._ids)
            self._waiting[number] = future
            try:
                process.stdin.write(json.dumps({"id": number, "op": op, **options}) + "\n")
                process.stdin.flush()
            except (OSError, ValueError) as error:
                del self._waiting[number]
                raise RuntimeFailed("the supervisor of the Workers is gone") from error
        try:
            answer = future.result(seconds)
        except TimeoutError as error:
            raise RuntimeFailed(f"the supervisor did not {op} within {seconds} s") from error
        if "error" in answer:
            raise RuntimeFailed(str(answer["error"]))
        return answer

    def _read(self, stdout: IO[str]) -> None:
        for line in stdout:
            message = json.loads(line)
            if "id" in message:
                with self._lock:
                    waiter = self._waiting.pop(message["id"], None)
                if waiter is not None:
                    waiter.set_result(message)
            elif message["event"] == "ready":
                self._ready.set_result(message)
            elif message["event"] == "failed":
                self._ready.set_exception(RuntimeFailed(message["error"]))
            else:
                self._ended(message)
        self._gone()

    def _ended(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._pids.pop(message["key"], None)
        if message["event"] == "exit" and not self._stopping:
            log.error("a workerd ended by itself: %s", message["key"], extra={"workerd": message})
            # Not in this thread: who reacts wants to hear the answers that this thread reads.
            threading.Thread(target=self._on_exit, args=(message["key"],), daemon=True).start()

    def _gone(self) -> None:
        error = RuntimeFailed("the supervisor of the Workers ended")
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for future in waiting:
            future.set_exception(error)
        if not self._ready.done():
            self._ready.set_exception(error)
        if not self._stopping:
            log.error("the supervisor of the Workers ended by itself")
            self._kill_children()

    def _kill_children(self) -> None:
        """End what the supervisor could not end itself, because it was killed."""
        with self._lock:
            pids, self._pids = list(self._pids.values()), {}
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
