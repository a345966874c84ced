"""The HTTP side that all webhook doors have in common: a Flask app that only ever speaks JSON.

Senders read little but the status: 200 is done, every 4xx and 5xx is tried again later (with a few
that give up at once), 410 switches the endpoint off and a redirect counts as a failure. So the app
never redirects, never says 410, and says 503 for whatever may pass by itself.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from apig_wsgi import make_lambda_handler
from aws_lambda_powertools import Logger
from flask import Flask, Request, Response, g, jsonify
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Rule

from shared.errors import ControlPlaneError, Transient
from shared.observability import Meter
from shared.webhooks.documents import NotJson
from shared.webhooks.families import BadSignature, MissingHeaders
from shared.webhooks.verification import NotConfigured

__all__ = [
    "MAX_BODY",
    "LambdaHandler",
    "Refusal",
    "answer",
    "check_content",
    "check_method",
    "json_app",
    "lambda_handler",
    "lower_headers",
    "note",
    "read_body",
    "serve",
]

MAX_BODY: Final = 1024 * 1024
_CHUNK: Final = 64 * 1024
_RETRY_AFTER: Final = 5
_RETRY_AFTER_PERSON: Final = 60

LambdaHandler = Callable[[dict[str, Any], Any], dict[str, Any]]


class Refusal(Exception):  # noqa: N818 - an answer, not a failure
    """Say no to a request. `message` goes to the sender: no tenant, no secret in it."""

    def __init__(
        self, status: int, name: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.name, self.message = status, name, message
        self.headers = dict(headers or {})


def check_method(of: Request) -> None:
    """Refuse everything but POST with 405."""
    if of.method != "POST":
        raise Refusal(405, "MethodNotAllowed", "send a POST", {"Allow": "POST"})


def check_content(of: Request) -> None:
    """Refuse what is not plain JSON by its headers, with 415."""
    encoding = of.headers.get("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity"}:
        raise Refusal(415, "UnsupportedMediaType", "send the body uncompressed")
    kind = of.mimetype
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Refusal(415, "UnsupportedMediaType", "send application/json")


def read_body(of: Request) -> bytes:
    """Return the raw body; more than 1 MiB is refused with 413 as soon as that much was read."""
    if of.content_length is not None and of.content_length > MAX_BODY:
        _too_large()
    body = bytearray()
    # a chunked body has no length in the header, so what comes is counted
    while chunk := of.stream.read(min(_CHUNK, MAX_BODY + 1 - len(body))):
        body += chunk
        if len(body) > MAX_BODY:
            _too_large()
    return bytes(body)


def _too_large() -> NoReturn:
    raise Refusal(413, "PayloadTooLarge", f"send at most {MAX_BODY} bytes")


def lower_headers(of: Request) -> dict[str, str]:
    """Return the headers by their lower-case names."""
    return {name.lower(): value for name, value in of.headers.items()}


def note(**facts: object) -> None:
    """Add facts to the one line that is logged for this request; never a secret or a body."""
    _facts().update(facts)


def _facts() -> dict[str, object]:
    # a request that fails while it is being routed comes here before anything was begun
    if "facts" not in g:
        g.facts = {}
    facts: dict[str, object] = g.facts
    return facts


def _provider() -> str:
    return str(_facts().get("provider", "none"))


def answer(status: str, tenant_status: str | None = None, reason: str | None = None) -> Response:
    """Return the 200 that acknowledges an event."""
    note(outcome=status, tenant_status=tenant_status, reason=reason)
    body = {"status": status, "tenant_status": tenant_status}
    return jsonify(body if reason is None else body | {"reason": reason})


def _refuse(
    status: int, name: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    note(outcome=name)
    response = jsonify({"error": {"name": name, "message": message}})
    response.status_code = status
    response.headers.update(headers or {})
    return response


def json_app(name: str, logger: Logger, meter: Meter, new_trace: Callable[[], str]) -> Flask:
    """Return a Flask app without routes in which every answer is a JSON object.

    Each request gets a trace (also in the answer, as `d1fleet-trace`), one log line and one count.
    """
    app = Flask(name, static_folder=None)
    # both would answer with a redirect
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False

    @app.before_request
    def _begin() -> None:
        g.trace = new_trace()
        logger.thread_safe_append_keys(trace=g.trace)

    @app.after_request
    def _end(response: Response) -> Response:
        response.headers["d1fleet-trace"] = g.get("trace", "")
        facts = {key: value for key, value in _facts().items() if value is not None}
        level = logger.info if response.status_code < 400 else logger.warning
        level("webhook answered", extra=facts | {"http_status": response.status_code})
        meter.count("Webhooks", outcome=str(facts.get("outcome")), provider=_provider())
        return response

    @app.teardown_request
    def _forget(_error: BaseException | None) -> None:
        logger.thread_safe_clear_keys()

    errors = _Errors(logger, meter)
    app.register_error_handler(Refusal, errors.refusal)
    app.register_error_handler(NotJson, errors.not_json)
    app.register_error_handler(MissingHeaders, errors.missing_headers)
    app.register_error_handler(BadSignature, errors.bad_signature)
    app.register_error_handler(NotConfigured, errors.not_configured)
    app.register_error_handler(ControlPlaneError, errors.unavailable)
    app.register_error_handler(HTTPException, errors.http)
    app.register_error_handler(Exception, errors.bug)
    return app


@dataclass(frozen=True, slots=True)
class _Errors:
    """Turn what was raised into the answer that makes the sender do the right thing."""

    logger: Logger
    meter: Meter

    def refusal(self, error: Refusal) -> Response:
        return _refuse(error.status, error.name, error.message, error.headers)

    def not_json(self, error: NotJson) -> Response:
        note(reason=str(error))
        return _refuse(400, "NotJson", "the body is not JSON in UTF-8")

    def missing_headers(self, error: MissingHeaders) -> Response:
        return _refuse(400, "MissingHeaders", f"send the headers {', '.join(error.names)}")

    def bad_signature(self, error: BadSignature) -> Response:
        # which of the two it is helps a forger more than anybody else
        note(reason=error.reason)
        return _refuse(401, "BadSignature", "the signature is wrong or too old")

    def not_configured(self, error: NotConfigured) -> Response:
        self.logger.error("webhooks can't be verified", extra={"reason": str(error)})
        self.meter.count("WebhookMisconfigured", provider=_provider())
        later = {"Retry-After": str(_RETRY_AFTER_PERSON)}
        return _refuse(503, "NotConfigured", "not ready for this provider", later)

    def unavailable(self, error: ControlPlaneError) -> Response:
        asked = error.retry_after if isinstance(error, Transient) else _RETRY_AFTER_PERSON
        self.logger.error("a webhook can't be taken now", exc_info=error)
        later = {"Retry-After": str(max(1, math.ceil(asked or _RETRY_AFTER)))}
        return _refuse(503, "Unavailable", "come back later", later)

    def http(self, error: HTTPException) -> Response:
        # werkzeug's own redirects are exceptions too
        code = error.code if error.code is not None and error.code >= 400 else 404
        if code == 404:
            return _refuse(404, "NotFound", "no such thing here")
        return _refuse(code, type(error).__name__, error.name)

    def bug(self, error: Exception) -> Response:
        self.logger.error("a bug", exc_info=error)
        return _refuse(500, "InternalError", "something went wrong; it was logged")


def serve(app: Flask, path: str, view: Callable[[str], Response]) -> None:
    """Serve `path`, with its one variable `provider`, by `view` for every method there is.

    Flask's own routes answer a wrong method before the view could say that the provider is not
    known, and OPTIONS by themselves.
    """
    app.view_functions[path] = view
    app.url_map.add(Rule(path, endpoint=path))


def lambda_handler(app: Flask) -> LambdaHandler:
    """Return what answers API Gateway's events (payload format 2.0) with a Flask app.

    Bodies arrive as text or in base64, as the gateway pleases; both become the bytes once sent.
    """
    handler: LambdaHandler = make_lambda_handler(app, binary_support=True)
    return handler
