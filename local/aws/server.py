"""The process that is AWS on this machine: moto, one call at a time, on the parent's socket.

Run as `python -m local.aws.server FD LAMBDA_URL CALLS_FILE`. A process of its own, because moto is
busy Python: in the parent it would take its turns from the gateway and the Runtime API. The parent
knows the port before this process is up, since it opened the socket; requests that come early wait
in the backlog.

`Invoke` of Lambda is passed on to `LAMBDA_URL`, where the real function processes are: moto would
want Docker.
"""

import http.client
import io
import logging
import sys
import threading
import urllib.parse
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import moto.cloudformation.parsing  # noqa: F401 - a second that the first request need not wait for
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from local.aws import backends
from local.aws.direct import answer_directly
from local.aws.recorder import Recorder
from local.processes import end_with_parent
from local.serving import QuietHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Front", "main"]

INVOKE_PREFIX: Final = "/2015-03-31/functions/"
INVOKE_SUFFIX: Final = "/invocations"
PASSED_ON: Final = ("X-Amz-Invocation-Type", "X-Amz-Log-Type", "Content-Type")
LONGEST_INVOCATION: Final = 910
"""Seconds: Lambda's longest timeout, and a little."""


class Front:
    """Stand before moto: serialise what is not thread-safe, and pass invocations on."""

    def __init__(self, moto: "WSGIApplication", lambda_url: str, recorder: Recorder) -> None:
        self._moto = moto
        self._recorder = recorder
        self._lambda_url = urllib.parse.urlsplit(lambda_url)
        self._others = threading.RLock()

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(INVOKE_PREFIX) and path.endswith(INVOKE_SUFFIX):
            return self._pass_on(Request(environ))(environ, start)
        self._recorder.look(environ)
        target = environ.get("HTTP_X_AMZ_TARGET", "")
        if target.startswith("DynamoDB"):
            with backends.DYNAMODB:
                return self._dynamodb(target, environ, start)
        if target.startswith("AmazonSQS"):
            with backends.SQS:
                try:
                    return self._moto(environ, start)
                finally:
                    backends.SQS.notify_all()
        with self._others:
            return self._moto(environ, start)

    def _dynamodb(
        self, target: str, environ: "WSGIEnvironment", start: "StartResponse"
    ) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = answer_directly(target.rpartition(".")[2], body)
        if answer is not None:
            return Response(answer, content_type="application/x-amz-json-1.0")(environ, start)
        environ["wsgi.input"] = io.BytesIO(body)
        return self._moto(environ, start)

    def _pass_on(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(
            self._lambda_url.hostname or "", self._lambda_url.port, timeout=LONGEST_INVOCATION
        )
        try:
            headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
            connection.request("POST", request.full_path, request.get_data(), headers)
            answer = connection.getresponse()
            kept = [(k, v) for k, v in answer.getheaders() if k.lower().startswith("x-amz")]
            return Response(answer.read(), answer.status, kept, content_type="application/json")
        except OSError as error:
            body = f'{{"message":"the functions do not answer: {type(error).__name__}"}}'
            return Response(body, 503, content_type="application/json")
        finally:
            connection.close()


class _Handler(QuietHandler, MotoRequestHandler):
    """moto's handler, which keeps S3's metadata names; ours, which is quiet."""


def main(arguments: list[str]) -> None:
    """Serve until the parent is gone or ends this process."""
    descriptor, lambda_url, calls = int(arguments[0]), arguments[1], Path(arguments[2])
    end_with_parent()
    warnings.simplefilter("ignore")  # moto warns of what it skips; deploy.py finds out by itself
    logging.getLogger("moto").setLevel(logging.ERROR)
    backends.install()
    app = Front(DomainDispatcherApplication(create_backend_app), lambda_url, Recorder(calls))
    make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=_Handler, fd=descriptor
    ).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
