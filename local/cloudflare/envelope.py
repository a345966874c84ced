"""The answers of the API: Cloudflare's envelope, and the errors that become one."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response

__all__ = ["ApiError", "body_object", "failed", "ok", "page_of"]


class ApiError(Exception):
    """Answer a request with one of Cloudflare's numbered errors."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


def _answer(status: int, body: Mapping[str, Any]) -> Response:
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return Response(text, status=status, content_type="application/json")


def ok(
    result: Any,
    *,
    status: int = 200,
    result_info: Mapping[str, Any] | None = None,
    messages: Sequence[Mapping[str, Any]] = (),
) -> Response:
    """Wrap a result."""
    body = {"success": True, "errors": [], "messages": list(messages), "result": result}
    if result_info is not None:
        body["result_info"] = result_info
    return _answer(status, body)


def failed(status: int, *errors: tuple[int, str]) -> Response:
    """Wrap errors, each a code and a message."""
    listed = [{"code": code, "message": message} for code, message in errors]
    return _answer(status, {"success": False, "errors": listed, "messages": [], "result": None})


def body_object(raw: bytes, *, code: int = 7400) -> dict[str, Any]:
    """Parse a request's JSON object.

    Raises:
        ApiError: 400 with `code` when it is not one.
    """
    try:
        value = json.loads(raw or b"{}")
    except ValueError as error:
        raise ApiError(400, code, "The request body is not valid JSON") from error
    if not isinstance(value, dict):
        raise ApiError(400, code, "The request body must be a JSON object")
    return value


def page_of(
    items: Sequence[Any], page: str, per_page: str, *, most: int, code: int
) -> tuple[Sequence[Any], dict[str, int]]:
    """Cut one page out of a list, and describe it as `result_info`.

    Raises:
        ApiError: 400 with `code` when page or size are out of range.
    """
    try:
        number, size = int(page), int(per_page)
    except ValueError as error:
        raise ApiError(400, code, "Invalid property: page => Expected number") from error
    if number < 1 or not 1 <= size <= most:
        raise ApiError(400, code, f"Invalid property: per_page => not within 1 and {most}")
    chosen = items[(number - 1) * size : number * size]
    info = {"page": number, "per_page": size, "count": len(chosen), "total_count": len(items)}
    return chosen, info
