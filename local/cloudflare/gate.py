"""What stands before the API: counting, the token, the rate limit, latency and faults.

A WSGI middleware, so that a fault can strike before the work, after it, or instead of an answer.
"""

import io
import secrets
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import httpx
from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from local.cloudflare.account import Account
from local.cloudflare.doors import PREFIX
from local.cloudflare.envelope import failed
from local.cloudflare.faults import Fault, Faults
from local.cloudflare.limiter import Limiter
from local.cloudflare.stats import Stats

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["ConnectionDropped", "Gate", "route_names"]

_UNROUTED = "(no such route)"
_GROUPS = (("/d1/", "D1"), ("/pages/", "Pages"), ("/workers/", "Workers Scripts"))
_FAULT_CODES = {401: 10000, 403: 10000, 404: 7003, 429: 971}


class ConnectionDropped(ConnectionError, httpx.RemoteProtocolError):  # noqa: N818 - what it does
    """End a request without an answer.

    The server drops the connection. Through `httpx.WSGITransport`, where there is none, the caller
    gets this error itself: the kind that httpx raises when a server hangs up.
    """

    def __init__(self) -> None:
        httpx.RemoteProtocolError.__init__(self, "Server disconnected without sending a response.")


def route_names(app: Flask) -> list[str]:
    """Name the routes of the API, as `POST /accounts/{a}/d1/database`."""
    return sorted(
        f"{method} {_name(rule.rule)}"
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    )


class Gate:
    """Wrap the app."""

    def __init__(
        self, app: Flask, account: Account, stats: Stats, limiter: Limiter, faults: Faults
    ) -> None:
        self._app = app
        self._account = account
        self._stats = stats
        self._limiter = limiter
        self._faults = faults
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Let requests that hang go."""
        self._stopping.set()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Answer one request."""
        if not environ.get("PATH_INFO", "").startswith(f"{PREFIX}/"):
            return self._app(environ, start_response)
        ray = f"{secrets.token_hex(8)}-EMU"
        route = self._route(environ)
        self._stats.count(route, self._limiter.window)
        headers = [("cf-ray", ray), ("api-version", "2026-11-23")]
        refusal = self._refuse_token(environ, route)
        if refusal is not None:
            return _send(refusal, headers, environ, start_response)
        verdict = self._limiter.ask()
        headers.extend(verdict.headers)
        if not verdict.allowed:
            self._stats.limit()
            answer = failed(429, (971, "Please wait and consider throttling your request speed"))
            return _send(answer, headers, environ, start_response)
        self._pause(self._faults.latency(route))
        fault = self._faults.hit(route)
        if fault is not None and fault.do == "status":
            return _send(_fault_answer(fault), headers, environ, start_response)
        if fault is not None and fault.do == "hang":
            self._pause(3600 if fault.seconds is None else fault.seconds)
            raise ConnectionDropped
        if fault is not None and fault.do == "delay":
            _read_body(environ)  # before the caller goes: the work is done all the same
            self._pause(fault.seconds or 0)
        done = WsgiResponse.from_app(self._app, environ, buffered=True)
        if fault is not None and fault.do == "lose_answer":
            raise ConnectionDropped
        return _send(done, headers, environ, start_response)

    def _route(self, environ: "WSGIEnvironment") -> str:
        method = environ["REQUEST_METHOD"]
        try:
            rule, _ = self._app.url_map.bind_to_environ(environ).match(return_rule=True)
        except HTTPException:
            return f"{method} {_UNROUTED}"
        return f"{method} {_name(rule.rule)}"

    def _refuse_token(self, environ: "WSGIEnvironment", route: str) -> WsgiResponse | None:
        given = environ.get("HTTP_AUTHORIZATION", "")
        if not given:
            message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers"
            return failed(400, (9106, message))
        groups = self._account.tokens.get(given.removeprefix("Bearer "))
        if groups is None or not given.startswith("Bearer "):
            return failed(401, (10000, "Authentication error"))
        for part, group in _GROUPS:
            if part in route:
                reading = route.startswith("GET ") and f"{group} Read" in groups
                if not reading and f"{group} Write" not in groups:
                    return failed(403, (10000, "Authentication error"))
        return None

    def _pause(self, seconds: float) -> None:
        if seconds > 0:
            self._stopping.wait(seconds)


def _name(rule: str) -> str:
    return rule.removeprefix(PREFIX).replace("<path:", "<").replace("<", "{").replace(">", "}")


def _fault_answer(fault: Fault) -> WsgiResponse:
    status = fault.status or 500
    answer = failed(status, (_FAULT_CODES.get(status, 0), "Set by the emulator's fault script"))
    if fault.seconds is not None:
        answer.headers["Retry-After"] = str(round(fault.seconds))
    return answer


def _read_body(environ: "WSGIEnvironment") -> None:

    length = int(environ.get("CONTENT_LENGTH") or 0)
    environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length) if length else b"")


def _send(
    answer: WsgiResponse,
    headers: list[tuple[str, str]],
    environ: "WSGIEnvironment",
    start_response: "StartResponse",
) -> Iterable[bytes]:
    for name, value in headers:
        answer.headers.setdefault(name, value)
    return answer(environ, start_response)
