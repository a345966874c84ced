"""Judge what the router, or whatever stands at its address, answered instead of a result."""

import math
from collections.abc import Mapping
from typing import Any, Final

import httpx

from shared.errors import ControlPlaneError
from shared.router.errors import (
    BadRouterAddress,
    BindingMissing,
    MigrationFailed,
    NoAdminDoor,
    OwnerConflict,
    RouterRefused,
    RouterUnavailable,
    ShardUnknown,
    SignatureRefused,
    TenantNotReady,
    WrongFleet,
)

__all__ = ["NOT_HTTP", "NOT_REACHED", "PASSING", "error_of"]

NOT_HTTP: Final = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
NOT_REACHED: Final = (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict)
"""Everything else that httpx raises. All operations are idempotent: sent or not makes no odds."""

LONGEST_MESSAGE: Final = 500
LONGEST_WAIT: Final = 900.0
PASSING: Final[Mapping[str, type[RouterUnavailable]]] = {
    "ShardUnknown": ShardUnknown,
    "BindingMissing": BindingMissing,
    "TenantNotReady": TenantNotReady,
}
"""What is only a matter of time, by the name that the router gives it."""


def error_of(op: str, response: httpx.Response) -> ControlPlaneError:
    """Return the error for an answer that is no result."""
    status = response.status_code
    said = _said(response)
    if said is None:
        return _not_ours(op, response)
    name = str(said.get("name"))
    message = str(said.get("message", ""))[:LONGEST_MESSAGE]
    if status >= 500 or status == 429:
        kind = PASSING.get(name, RouterUnavailable)
        return kind(f"{op}: {name}: {message}", retry_after=_wait(said))
    match status, name:
        case 401, _:
            return SignatureRefused(
                f"the router rejects our signature ({name}: {message}): is the secret router-admin "
                "the same on both sides, and this clock right? The next sweep puts it on the router"
            )
        case 404, _:
            return NoAdminDoor(
                "the router has no admin door: it has no admin secret, or does not know the "
                f"operation {op}: run `d1fleet init`, and deploy this version's pool Workers"
            )
        case _, "WrongFleet":
            return WrongFleet(
                f"the router belongs to another fleet ({message}): this stack must not touch it; "
                "check FLEET, ROUTER_URL and whether the table was cloned"
            )
        case _, "OwnerConflict":
            return OwnerConflict(_conflicts(said.get("conflicts")))
        case _, "MigrationFailed":
            index = said.get("statement")
            number = index if isinstance(index, int) and not isinstance(index, bool) else None
            return MigrationFailed(str(said.get("file", "?")), number, message)
        case _:
            return RouterRefused(f"the router refuses {op} ({status} {name}): {message}")


def _said(response: httpx.Response) -> Mapping[str, Any] | None:
    """Return the error object of a router of ours, or None if somebody else answered."""
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else None


def _not_ours(op: str, response: httpx.Response) -> ControlPlaneError:
    """Judge an answer that no router of ours gives: Cloudflare's own pages, or a wrong address.

    A new workers.dev address answers 404 with a page for a while, so that is worth a later try.
    """
    status = response.status_code
    if 300 <= status < 400:
        return BadRouterAddress(
            f"the router's address redirects {op} ({status}): set ROUTER_URL to where it leads"
        )
    ray = response.headers.get("cf-ray")
    return RouterUnavailable(
        f"no router of ours answered {op} (status {status}, no JSON error"
        + (f", cf-ray {ray})" if ray else ")")
    )


def _wait(said: Mapping[str, Any]) -> float | None:
    value = said.get("retry_after")
    if not isinstance(value, int | float) or (isinstance(value, float) and math.isnan(value)):
        return None
    return float(min(max(value, 0), LONGEST_WAIT))


def _conflicts(value: Any) -> tuple[tuple[str, str], ...]:
    listed = value if isinstance(value, list) else []
    return tuple(
        (str(item.get("tenant_id")), str(item.get("database_uuid")))
        for item in listed
        if isinstance(item, dict)
    )
