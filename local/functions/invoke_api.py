"""Lambda's `Invoke` on this machine: boto3's Lambda client runs functions that are real processes.

The AWS endpoint passes these requests on to here: `POST /2015-03-31/functions/{name}/invocations`.
"""

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from werkzeug.wrappers import Request, Response

from local.functions.lambda_service import LambdaService, UnknownFunction

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["InvokeApi"]

_PATH: Final = re.compile(r"/2015-03-31/functions/([^/]+)/invocations")


class InvokeApi:
    """Serve `Invoke`, as a WSGI application; functions are known by name or ARN."""

    def __init__(self) -> None:
        self.service: LambdaService | None = None

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        return self._answer(Request(environ))(environ, start)

    def _answer(self, request: Request) -> Response:
        found = _PATH.fullmatch(request.path)
        if found is None or request.method != "POST" or self.service is None:
            return _refusal(404, "ResourceNotFoundException", "no such path")
        name = unquote(found[1]).split(":")[-1]
        payload = request.get_data() or b"{}"
        kind = request.headers.get("X-Amz-Invocation-Type", "RequestResponse")
        try:
            if kind == "Event":
                self.service.invoke_later(name, payload)
                return Response(b"", 202)
            if kind != "RequestResponse":
                return _refusal(
                    400, "InvalidParameterValueException", f"invocation type {kind} is not known"
                )
            result = self.service.invoke(name, payload)
        except UnknownFunction:
            return _refusal(404, "ResourceNotFoundException", f"Function not found: {name}")
        headers = {"X-Amz-Executed-Version": "$LATEST"}
        if result.error is not None:
            headers["X-Amz-Function-Error"] = result.error
        return Response(result.payload, 200, headers, content_type="application/json")


def _refusal(status: int, kind: str, message: str) -> Response:
    body = json.dumps({"Type": "User", "Message": message})
    return Response(body, status, {"x-amzn-ErrorType": kind}, content_type="application/json")
