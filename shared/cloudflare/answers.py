"""Judge what came back: an HTTP answer or an exception becomes a result or one typed error.

The only place that knows Cloudflare's codes and messages and httpx's exceptions. Where a code is
known it decides, whatever the HTTP status: the statuses of several are documented nowhere.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Any, Final

import httpx

from shared.cloudflare import errors
from shared.cloudflare.errors import CloudflareError, Facts

__all__ = [
    "LOST",
    "NOTHING_SENT",
    "Effect",
    "broken",
    "from_exception",
    "judged",
    "rate_limit",
    "refusal",
    "retry_after",
]

LONGEST_MESSAGE: Final = 500
LONGEST_WAIT: Final = 3600.0
LOCK_OUT: Final = 300.0
"""How long Cloudflare blocks everything once its limit is exceeded, in seconds."""


class Effect(Enum):
    """Say what a call does: a READ may be repeated at will, a WRITE never blindly."""

    READ = "read"
    WRITE = "write"


NOTHING_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
)
NOT_HTTP: Final = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)
LOST: Final = (httpx.HTTPError, httpx.StreamError, httpx.CookieConflict)
"""Everything else that httpx raises: the request, or part of it, was sent."""

_BY_CODE: Final[dict[int, Callable[[Facts], CloudflareError]]] = {
    7003: errors.WrongAccount,
    7403: errors.WrongAccount,
    7404: errors.NotFound,
    7406: errors.AccountFull,
    7502: errors.NameTaken,
    10007: errors.WorkerNotFound,
    10018: errors.Contested,
    10057: errors.InheritUnresolved,
    10063: errors.NoWorkersSubdomain,
    10090: errors.WorkerNotFound,
    10142: errors.InUse,
    10144: errors.BoundServiceMissing,
    10181: errors.BoundDatabaseMissing,
    10214: errors.VersionNotDeployed,
    10215: errors.VersionNotDeployed,
}
_TOKEN_CODES: Final = frozenset({1000, 9106, 9109, 10000, 10015})
_THROTTLED: Final = 971
_INTERNAL: Final = frozenset({0, 10002, 10013})
_SQL: Final = 7500
_VALIDATION: Final = 10021

_NO_SUCH_DATABASE: Final = re.compile(r"must have a (database that already exists|valid `id`)")
_OVERLOADED: Final = re.compile(
    r"Too many requests queued|Requests queued for too long|SQLITE_BUSY|SQLITE_LOCKED"
)
_SPENT: Final = re.compile(r"daily row (read|write|written)", re.IGNORECASE)
_FULL: Final = re.compile(r"Exceeded maximum DB size|SQLITE_FULL")


def judged(
    response: httpx.Response,
    operation: str,
    effect: Effect,
    *,
    now: datetime,
    hide: Callable[[str], str],
) -> dict[str, Any]:
    """Return the envelope of a success, or an empty one for an answer without a body.

    `hide` removes secrets from Cloudflare's own words.

    Raises:
        CloudflareError: it is no success.
    """
    facts = Facts(operation, response.status_code, cf_ray=response.headers.get("cf-ray"))
    if response.status_code in {204, 205} and not response.content:
        return {}
    wait = retry_after(response, now)
    body = _object(response)
    if body is None:
        challenge = response.headers.get("cf-mitigated")
        what = f"cf-mitigated {challenge}" if challenge else "the answer is no JSON object"
        facts = replace(facts, message=what)
        # No word of the API itself, so its status says nothing of the token or the database.
        raise (refusal if response.status_code == 429 else broken)(facts, effect, wait)
    if response.is_success and body.get("success") is True:
        return body
    code, message = _said(body)
    text = hide(" ".join(message.split()))[:LONGEST_MESSAGE]
    raise refusal(replace(facts, code=code, message=text), effect, wait)


def _object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def refusal(facts: Facts, effect: Effect, wait: float | None = None) -> CloudflareError:
    """Return the error for an answer that is no success. Codes go before statuses."""
    code, status = facts.code, facts.status or 0
    if status == 429 or code == _THROTTLED:
        return errors.RateLimited(facts, retry_after=LOCK_OUT if wait is None else wait)
    if code in _BY_CODE:
        return _BY_CODE[code](facts)
    if code == _SQL:
        return _sql_refusal(facts, effect)
    if code == _VALIDATION:
        return _validation_refusal(facts)
    if status >= 500 or status < 400 or code in _INTERNAL or status == 408:
        return broken(facts, effect, wait)
    if code in _TOKEN_CODES or status in {401, 403}:
        return errors.BadToken(facts)
    if status in {423, 425}:
        return errors.Unavailable(facts, retry_after=wait)
    if status in {409, 412}:
        return errors.Contested(facts)
    # A 404 without a code that we know lands here: it must never be taken for "there is none".
    return errors.Rejected(facts)


def broken(facts: Facts, effect: Effect, wait: float | None = None) -> CloudflareError:
    """Return the error for an answer that says nothing of what was done."""
    if effect is Effect.WRITE:
        return errors.Unsettled(facts, retry_after=wait)
    return errors.Unavailable(facts, retry_after=wait)


def from_exception(operation: str, error: Exception, effect: Effect) -> CloudflareError:
    """Return the error for a request that httpx could not finish.

    Only the text of a failed connection is quoted: others may repeat what was to be sent.
    """
    facts = Facts(operation, message=type(error).__name__)
    if isinstance(error, NOT_HTTP):
        return errors.BadAddress(facts)
    if isinstance(error, NOTHING_SENT):
        said = f"{facts.message}: {error}"[:LONGEST_MESSAGE]
        return errors.NotReached(replace(facts, message=said))
    return broken(facts, effect)


def retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Return the seconds that an answer asks us to wait, at most an hour, or None."""
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return min(float(value), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_WAIT)


def rate_limit(response: httpx.Response) -> tuple[int, int, int | None] | None:
    """Return (calls left, seconds to the reset, quota or None) of the tightest policy, or None.

    As `Ratelimit: "default";r=50;t=30` with `Ratelimit-Policy: "default";q=1200;w=300`; a quota
    counts only if it is of the policy of that name.
    """
    quotas = {name: values.get("q") for name, values in _items(response, "ratelimit-policy")}
    found = [
        (values["r"], values["t"], quotas.get(name))
        for name, values in _items(response, "ratelimit")
        if "r" in values and "t" in values
    ]
    return min(found, default=None, key=lambda item: item[0])


def _items(response: httpx.Response, header: str) -> list[tuple[str, dict[str, int]]]:
    parsed = []
    for item in response.headers.get(header, "").split(","):
        name, *parameters = item.split(";")
        values = {
            key.strip(): int(value)
            for key, _, value in (parameter.partition("=") for parameter in parameters)
            if re.fullmatch(r"[0-9]{1,12}", value.strip())
        }
        parsed.append((name.strip().strip('"'), values))
    return parsed


def _sql_refusal(facts: Facts, effect: Effect) -> CloudflareError:
    if _FULL.search(facts.message):
        return errors.DatabaseFull(facts)
    if _SPENT.search(facts.message):
        return errors.QuotaSpent(facts, retry_after=LONGEST_WAIT)
    if _OVERLOADED.search(facts.message):
        return errors.Overloaded(facts)
    if "SQLITE_" in facts.message:
        return errors.SqlError(facts)
    return broken(facts, effect)


def _validation_refusal(facts: Facts) -> CloudflareError:
    if _NO_SUCH_DATABASE.search(facts.message):
        return errors.BoundDatabaseMissing(facts)
    if "try again later" in facts.message.lower():
        return errors.Unavailable(facts)
    return errors.InvalidBinding(facts)


def _said(body: dict[str, Any]) -> tuple[int | None, str]:
    """Return the code and the message of a refusal, in either of the API's two shapes."""
    listed = body.get("errors")
    entries = [e for e in listed if isinstance(e, dict)] if isinstance(listed, list) else []
    if not entries:
        entries = [{"code": body.get("code"), "message": body.get("error")}]
    chosen = next((e for e in entries if _code(e) in _KNOWN), entries[0])
    message = chosen.get("message")
    return _code(chosen), message if isinstance(message, str) else ""


_KNOWN: Final = frozenset({*_BY_CODE, *_TOKEN_CODES, _THROTTLED, _SQL, _VALIDATION})


def _code(entry: dict[str, Any]) -> int | None:
    code = entry.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None
