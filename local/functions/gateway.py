"""The HTTP API of the template on this machine: requests become events, answers responses.

What API Gateway does itself is done here too: no route is 404, a body over 10 MB 413, a function
that fails 500, one that takes too long 503; all with its own short JSON.
"""

import base64
import json
import re
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Request, Response

from local.aws.deploy import Route
from local.functions.environment import Result

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["Gateway", "http_event", "response_of"]

LARGEST_BODY: Final = 10 * 1000 * 1000
PATIENCE: Final = 30.0
"""Seconds that API Gateway waits for an integration."""

_TEXT: Final = re.compile(r"^(text/|application/(json|javascript|xml|.*\+json|.*\+xml)\b)")


def http_event(
    request: Request, body: bytes, *, route_key: str, path_parameters: dict[str, str], now: float
) -> dict[str, Any]:
    """Return the event of payload format 2.0 for a request.

    A body is text for text types, else base64: as API Gateway decides it. Headers are in lower
    case, several of one name are joined by commas, cookies stand apart.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    cookies = [part.strip() for part in headers.pop("cookie", "").split(";") if part.strip()]
    text = _as_text(body, headers.get("content-type", ""))
    raw_path, _, raw_query = str(request.environ.get("REQUEST_URI", request.full_path)).partition(
        "?"
    )
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": raw_path,
        "rawQueryString": raw_query,
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "local",
            "domainName": request.host,
            "domainPrefix": "local",
            "http": {
                "method": request.method,
                "path": raw_path,
                "protocol": str(request.environ.get("SERVER_PROTOCOL", "HTTP/1.1")),
                "sourceIp": request.remote_addr or "127.0.0.1",
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": uuid.uuid4().hex[:16],
            "routeKey": route_key,
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        "isBase64Encoded": text is None,
    }
    if cookies:
        event["cookies"] = cookies
    if raw_query:
        event["queryStringParameters"] = {
            name: ",".join(request.args.getlist(name)) for name in request.args
        }
    if path_parameters:
        event["pathParameters"] = path_parameters
    if body:
        event["body"] = base64.b64encode(body).decode() if text is None else text
    else:
        event["isBase64Encoded"] = False
    return event


def _as_text(body: bytes, content_type: str) -> str | None:
    if not _TEXT.match(content_type.lower()):
        return None
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def response_of(result: Result) -> Response:
    """Return the HTTP response for what a function came to."""
    if result.error is not None:
        return _message(500, "Internal Server Error")
    try:
        answer = json.loads(result.payload)
    except ValueError:
        return _message(500, "Internal Server Error")
    if not isinstance(answer, dict) or "statusCode" not in answer:
        # Format 2.0 takes anything else as the body of a success.
        return Response(json.dumps(answer), 200, content_type="application/json")
    try:
        body = str(answer.get("body") or "")
        data = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
        response = Response(data, int(answer["statusCode"]))
    except (TypeError, ValueError):
        return _message(500, "Internal Server Error")
    headers = {str(k).lower(): str(v) for k, v in (answer.get("headers") or {}).items()}
    response.headers["Content-Type"] = headers.pop("content-type", "text/plain; charset=utf-8")
    headers.pop("content-length", None)  # computed anew
    for name, value in headers.items():
        response.headers[name] = value
    for cookie in answer.get("cookies") or ():
        response.headers.add("Set-Cookie", str(cookie))
    return response


def _message(status: int, message: str) -> Response:
    return Response(json.dumps({"message": message}), status, content_type="application/json")


class Gateway:
    """Serve the template's routes, as a WSGI application."""

    def __init__(
        self, routes: Sequence[Route], invoke: Callable[[str, bytes, float], Result]
    ) -> None:
        self._routes = [(route, _pattern(route.path)) for route in routes]
        self._invoke = invoke

    def __call__(self, environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
        request = Request(environ)
        request.max_content_length = LARGEST_BODY
        try:
            # Always read to its end: what is left in the socket would be taken for the next
            # request.
            body = request.get_data(cache=False)
        except RequestEntityTooLarge:
            response = _message(413, "Request Entity Too Large")
            response.headers["Connection"] = "close"
            return response(environ, start)
        return self._answer(request, body)(environ, start)

    def _answer(self, request: Request, body: bytes) -> Response:
        for route, pattern in self._routes:
            found = pattern.fullmatch(request.path)
            if found is None or route.method not in {"ANY", request.method}:
                continue
            event = http_event(
                request,
                body,
                route_key=f"{route.method} {route.path}",
                path_parameters={k: unquote(v) for k, v in found.groupdict().items()},
                now=time.time(),
            )
            result = self._invoke(route.function, json.dumps(event).encode(), PATIENCE)
            if result.error is not None and b"TooManyRequests" in result.payload:
                return _message(503, "Service Unavailable")
            return response_of(result)
        return _message(404, "Not Found")


def _pattern(path: str) -> re.Pattern[str]:
    """Return what matches a route's path: `{name}` is one segment, `{name+}` the rest."""
    parts = []
    for part in path.split("/"):
        if part.startswith("{") and part.endswith("+}"):
            parts.append(f"(?P<{part[1:-2]}>.+)")
        elif part.startswith("{") and part.endswith("}"):
            parts.append(f"(?P<{part[1:-1]}>[^/]+)")
        else:
            parts.append(re.escape(part))
    return re.compile("/".join(parts))
