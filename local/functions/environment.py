"""One execution environment: a process under AWS's runtime client, and its Runtime API.

What Lambda does, so does this: one invocation at a time, an initialisation that may fail, a timeout
that kills the process, and a process that may die half-way, which ends the invocation with an
error. An environment that has ended is never used again.

The Runtime API (`/2018-06-01/runtime/…`) is on a port of its own for each environment: the address
is all by which the runtime client says who it is.
"""

import json
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from local.aws.cloud import clean_environment
from local.processes import Child, Lifeline

__all__ = ["Environment", "Launch", "Result", "failure"]

RUNTIME: Final = "/2018-06-01/runtime"
INIT_PATIENCE: Final = 30
"""Seconds for the process to ask for its first event; Lambda gives 10, on a machine at rest."""


@dataclass(frozen=True)
class Result:
    """What an invocation came to: the function's JSON, or the error's if `error` names its kind."""

    payload: bytes
    error: str | None = None


def failure(kind: str, message: str) -> Result:
    """Return the result of an invocation that the function itself did not answer."""
    return Result(json.dumps({"errorType": kind, "errorMessage": message}).encode(), "Unhandled")


@dataclass(frozen=True)
class Launch:
    """Say how to start a function's process; `timeout` in seconds."""

    name: str
    arn: str
    handler: str
    timeout: float
    memory: int
    variables: Mapping[str, str]
    root: Path
    log: Path

    def environment(self, runtime_api: str) -> dict[str, str]:
        """Return the whole environment of the process, as Lambda would set it."""
        return {
            **clean_environment(),
            "AWS_LAMBDA_RUNTIME_API": runtime_api,
            "AWS_LAMBDA_FUNCTION_NAME": self.name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory),
            "AWS_LAMBDA_LOG_GROUP_NAME": self.log.stem,
            "AWS_LAMBDA_LOG_STREAM_NAME": uuid.uuid4().hex,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
            "LAMBDA_TASK_ROOT": str(self.root),
            "PYTHONPATH": str(self.root),
            "_HANDLER": self.handler,
            **self.variables,
        }


class Environment:
    """Run one process of a function and give it events, one at a time."""

    def __init__(self, launch: Launch, lifeline: Lifeline) -> None:
        self._launch = launch
        self._changed = threading.Condition()
        self._event: tuple[str, bytes] | None = None
        self._waiting = False
        self._deadline = 0.0
        self._result: Result | None = None
        self._init_error: Result | None = None
        self._ended = False
        self._server = _Server(self)
        port = self._server.server_address[1]
        self._child = Child(
            [sys.executable, "-m", "local.functions.bootstrap", launch.handler],
            lifeline=lifeline,
            log=launch.log,
            environment=launch.environment(f"127.0.0.1:{port}"),
            directory=Path(__file__).parents[2],
        )
        self._serving = threading.Thread(
            target=self._server.serve_forever, name=f"runtime-api-{port}", daemon=True
        )
        self._serving.start()
        self._watching = threading.Thread(
            target=self._watch, name=f"watch-{self._child.pid}", daemon=True
        )
        self._watching.start()

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._child.pid

    @property
    def alive(self) -> bool:
        """Say whether it can take another event."""
        return not self._ended

    def ready(self) -> Result | None:
        """Wait until it asks for an event; return None, or why it never will."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended, INIT_PATIENCE)
            if self._waiting:
                return None
            if self._init_error is not None:
                return self._init_error
            if self._ended:
                return failure("Runtime.ExitError", self._how_it_ended("during initialisation"))
        self.stop()
        return failure("Sandbox.Timedout", f"Init timed out after {INIT_PATIENCE:.2f} seconds")

    def invoke(self, payload: bytes) -> Result:
        """Run the function on one event; never raises, whatever the function does."""
        refused = self.ready()
        if refused is not None:
            return refused
        request_id = str(uuid.uuid4())
        began = time.monotonic()
        with self._changed:
            self._result = None
            self._deadline = time.time() + self._launch.timeout
            self._event = (request_id, payload)
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._result is not None or self._ended, self._launch.timeout
            )
            result = self._result
            ended = self._ended
        if result is None and ended:
            result = failure(
                "Runtime.ExitError", self._how_it_ended(f"RequestId: {request_id} Error")
            )
        elif result is None:
            # As on Lambda, where the next event finds a fresh process. Killing it also settles
            # that a late answer can't be taken for that of the next event.
            self.stop()
            result = failure(
                "Sandbox.Timedout",
                f"RequestId: {request_id} Error: "
                f"Task timed out after {self._launch.timeout:.2f} seconds",
            )
        self._report(request_id, time.monotonic() - began, result)
        return result

    def kill(self) -> None:
        """Kill the process, without waiting for its end."""
        self._child.kill()

    def stop(self) -> None:
        """Kill the process; returns when it is gone, and its Runtime API with it."""
        self._child.kill()
        self._watching.join()

    def next_event(self) -> tuple[str, bytes, float] | None:
        """Return the next event for the process (request id, payload, deadline), None at its end.

        Called by the Runtime API on behalf of the process, which waits as long as it takes.
        """
        with self._changed:
            self._waiting = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._event is not None or self._ended)
            self._waiting = False
            if self._event is None:
                return None
            (request_id, payload), self._event = self._event, None
            return request_id, payload, self._deadline

    def answer(self, result: Result) -> None:
        """Take what the process says to its event."""
        with self._changed:
            self._result = result
            self._changed.notify_all()

    def refuse(self, error: bytes) -> None:
        """Take the process's word that it can't be initialised."""
        with self._changed:
            self._init_error = Result(error, "Unhandled")

    def launch_arn(self) -> str:
        """Return the ARN by which the function was invoked."""
        return self._launch.arn

    def _watch(self) -> None:
        self._child.wait()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def _how_it_ended(self, when: str) -> str:
        status = self._child.wait()
        if status is not None and status < 0:
            how = f"signal: {signal.Signals(-status).name}"
        else:
            how = f"exit status {status}"
        return f"{when}: Runtime exited with error: {how}"

    def _report(self, request_id: str, seconds: float, result: Result) -> None:
        line = f"REPORT RequestId: {request_id}\tDuration: {seconds * 1000:.2f} ms\tPid: {self.pid}"
        if result.error is not None:
            line += f"\tError: {result.payload.decode(errors='replace')[:2000]}"
        with self._launch.log.open("a", encoding="utf-8") as log:
            log.write(line + "\n")


class _Server(ThreadingHTTPServer):
    """The Runtime API of one environment."""

    daemon_threads = True

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        super().__init__(("127.0.0.1", 0), _RuntimeApi)


class _RuntimeApi(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        if self.path != f"{RUNTIME}/invocation/next":
            self._say(404, b'{"errorMessage":"no such path"}')
            return
        event = self.server.environment.next_event()
        if event is None:
            self.close_connection = True
            return
        request_id, payload, deadline = event
        self._say(
            200,
            payload,
            {
                "Lambda-Runtime-Aws-Request-Id": request_id,
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": self.server.environment.launch_arn(),
                "Lambda-Runtime-Trace-Id": _trace_id(),
            },
        )

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        environment = self.server.environment
        if self.path == f"{RUNTIME}/init/error":
            environment.refuse(body)
        elif self.path.endswith("/response"):
            environment.answer(Result(body))
        elif self.path.endswith("/error"):
            environment.answer(Result(body, "Unhandled"))
        else:
            self._say(404, b'{"errorMessage":"no such path"}')
            return
        self._say(202, b'{"status":"OK"}')

    def _say(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        return


def _trace_id() -> str:
    root, parent = uuid.uuid4().hex[:24], uuid.uuid4().hex[:16]
    return f"Root=1-{int(time.time()):08x}-{root};Parent={parent};Sampled=0"
