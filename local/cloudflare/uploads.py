"""Reading multipart uploads of Workers: the metadata or settings part, and the modules."""

import hashlib
import json
from typing import Any

from flask import Request

from local.cloudflare.envelope import ApiError
from local.cloudflare.models import Code, Module
from local.cloudflare.modules import ModuleFiles

__all__ = ["read_code", "read_part"]

_JAVASCRIPT = frozenset(
    {
        "application/javascript+module",
        "text/javascript+module",
        "application/javascript",
        "text/javascript",
    }
)
_KNOWN = _JAVASCRIPT | {
    "application/json",
    "application/octet-stream",
    "application/source-map",
    "application/wasm",
    "text/plain",
}
MOST_BYTES = 64 * 1024 * 1024


def read_part(request: Request, name: str) -> dict[str, Any]:
    """Parse the JSON part of a multipart request.

    Raises:
        ApiError: 10001 for another content type, 10201 without that part, 10021 if it is no object.
    """
    if request.mimetype != "multipart/form-data":
        raise ApiError(
            400,
            10001,
            f"Expected content type multipart/form-data, got {request.mimetype or 'none'}",
        )
    if name in request.form:
        text = request.form[name]
    elif name in request.files:
        text = request.files[name].stream.read().decode("utf-8", "replace")
    else:
        raise ApiError(400, 10201, f"Missing {name} part in multipart upload")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ApiError(400, 10021, f"the {name} part is not valid JSON") from error
    if not isinstance(value, dict):
        raise ApiError(400, 10021, f"the {name} part must be a JSON object")
    return value


def read_code(request: Request, metadata: dict[str, Any], files: ModuleFiles) -> Code:
    """Keep the uploaded modules and describe them, the main one first.

    Raises:
        ApiError: 10021 without a main module or with a module of an unknown type; 10027 over
            64 MiB.
    """
    modules: list[Module] = []
    total = 0
    for field, part in request.files.items(multi=True):
        if field in {"metadata", "settings"}:
            continue
        content = part.stream.read()
        total += len(content)
        kind = part.mimetype
        if kind not in _KNOWN:
            raise ApiError(
                400, 10021, f"module {part.filename or field} has an unknown type {kind}"
            )
        if kind in _JAVASCRIPT or kind == "text/plain":
            _check_utf8(content, part.filename or field)
        modules.append(
            Module(name=part.filename or field, content_type=kind, sha256=files.put(content))
        )
    if total > MOST_BYTES:
        raise ApiError(413, 10027, "Your Worker exceeded the size limit of 64 MiB")
    main = metadata.get("main_module") or metadata.get("body_part")
    if not isinstance(main, str):
        raise ApiError(400, 10021, "metadata must name a main_module or a body_part")
    first = next((module for module in modules if module.name == main), None)
    if first is None:
        raise ApiError(400, 10021, f"No such module: {main}. The upload has no part of that name.")
    ordered = (first, *(module for module in modules if module is not first))
    digest = hashlib.sha256("".join(m.name + m.sha256 for m in ordered).encode()).hexdigest()
    return Code(
        syntax="modules" if metadata.get("main_module") else "service-worker",
        modules=ordered,
        etag=digest,
    )


def _check_utf8(content: bytes, name: str) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, 10021, f"module {name} is not UTF-8") from error
