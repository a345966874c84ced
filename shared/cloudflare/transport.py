"""The one way to Cloudflare: every call takes its permit here, and nowhere else is one sent.

Order of a call: the token is fetched, a permit taken, the request sent, the answer's `Ratelimit`
header noted, the answer judged, one log record written. Reads that failed on the way are sent again
at once, at most twice and each with a permit of its own; nothing here ever waits.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from shared.cloudflare import errors
from shared.cloudflare.answers import (
    LOST,
    NOT_HTTP,
    Effect,
    broken,
    from_exception,
    judged,
    rate_limit,
)
from shared.cloudflare.errors import BadToken, CloudflareError, Facts, RateLimited
from shared.cloudflare.ports import Budget
from shared.domain.budget import Lane
from shared.errors import Conflict, Transient

__all__ = ["LONG", "TIMEOUT", "Answer", "Calls", "Permits", "Transport"]

TIMEOUT: Final = httpx.Timeout(connect=5, read=20, write=10, pool=5)
LONG: Final = httpx.Timeout(connect=5, read=40, write=30, pool=5)
"""For SQL: D1 gives a request 30 s."""

READ_TRIES: Final = 3
TRY_AGAIN_WITHIN: Final = timedelta(seconds=10)
_HIDDEN: Final = "[hidden]"

M = TypeVar("M", bound=BaseModel)

log = logging.getLogger("d1fleet")


class Permits(Protocol):
    """Give one permit after the other to one caller."""

    @property
    def lane(self) -> Lane:
        """Return whose permits these are."""

    def take(self, n: int = 1) -> None:
        """Take `n` permits at once, or raise NoPermit."""


class Answer:
    """Hold the result of a call, and parse it: a malformed one is an error like any other."""

    def __init__(self, envelope: Mapping[str, Any], facts: Facts, effect: Effect) -> None:
        self.result: Any = envelope.get("result")
        self.info: Any = envelope.get("result_info")
        self._facts = facts
        self._effect = effect

    @property
    def facts(self) -> Facts:
        """Return what is known of the call, for errors found in its result."""
        return self._facts

    def parsed(self, model: type[M], value: Any = None) -> M:
        """Return the result, or the given part of it, as a model.

        Raises:
            Unavailable: a read's answer has not the documented shape.
            Unsettled: a change's answer has not.
        """
        try:
            return model.model_validate(self.result if value is None else value)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise self.malformed(f"{model.__name__} at {where or 'its root'}") from error

    def parsed_list(self, model: type[M], value: Any = None) -> list[M]:
        """Return the result, or the given part of it, as a list of models."""
        items = self.result if value is None else value
        if not isinstance(items, list):
            raise self.malformed(f"a list of {model.__name__}")
        return [self.parsed(model, item if item is not None else {}) for item in items]

    def malformed(self, what: str) -> CloudflareError:
        """Return the error for a result that is not what the API documents."""
        facts = Facts(
            self._facts.operation,
            self._facts.status,
            message=f"the answer is malformed: expected {what}",
            cf_ray=self._facts.cf_ray,
        )
        return broken(facts, self._effect)


class Transport:
    """Send requests to Cloudflare's API, each with a permit."""

    def __init__(
        self,
        http: httpx.Client,
        *,
        token: str | Callable[[], str],
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        self._http = http
        self._token = token
        self._budget = budget
        self._clock = clock

    def call(
        self,
        permits: Permits,
        method: str,
        path: str,
        *,
        operation: str,
        effect: Effect,
        secrets: Sequence[str] = (),
        **request: Any,
    ) -> Answer:
        """Send one request, and a read again if it failed on the way.

        `operation` names it for people; `secrets` are values in the request that no error or log
        may repeat; the rest is for httpx.
        """
        began = self._clock()
        tries = READ_TRIES if effect is Effect.READ else 1
        for left in range(tries - 1, -1, -1):
            try:
                return self._send(permits, method, path, operation, effect, secrets, request)
            except (errors.NotReached, errors.Unavailable) as error:
                late = self._clock() - began > TRY_AGAIN_WITHIN
                if left == 0 or late or error.retry_after is not None:
                    raise
        raise AssertionError  # pragma: no cover - the last try returns or raises

    def _send(
        self,
        permits: Permits,
        method: str,
        path: str,
        operation: str,
        effect: Effect,
        secrets: Sequence[str],
        request: Mapping[str, Any],
    ) -> Answer:
        token = self._current_token(operation)

        def hide(text: str) -> str:
            for secret in (token, *secrets):
                text = text.replace(secret, _HIDDEN) if secret else text
            return text

        permits.take()
        began = self._clock()
        facts = Facts(operation)
        try:
            try:
                response = self._http.request(
                    method,
                    path,
                    headers={"authorization": f"Bearer {token}", "user-agent": "d1fleet"},
                    follow_redirects=False,
                    **{"timeout": TIMEOUT, **request},
                )
            except NOT_HTTP as error:
                # Its text may quote the header that holds the token: no chain.
                raise from_exception(operation, error, effect) from None
            except LOST as error:
                raise from_exception(operation, error, effect) from error
            facts = Facts(operation, response.status_code, cf_ray=response.headers.get("cf-ray"))
            self._observe(response)
            envelope = judged(response, operation, effect, now=self._clock(), hide=hide)
        except CloudflareError as error:
            # That something is not there, or is there already, is what was asked.
            level = logging.INFO if isinstance(error, Conflict) else logging.WARNING
            self._log(level, method, path, permits.lane, error.facts, began, error)
            if isinstance(error, RateLimited):
                self._close(error)
            raise
        level = logging.INFO if effect is Effect.WRITE else logging.DEBUG
        self._log(level, method, path, permits.lane, facts, began)
        return Answer(envelope, facts, effect)

    def _current_token(self, operation: str) -> str:
        """Return the token, in a form that can be a header.

        A stray newline would make the HTTP library quote the whole header in its error.
        """
        token = (self._token if isinstance(self._token, str) else self._token()).strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise BadToken(Facts(operation, message="the secret's value is no API token"))
        return token

    def _observe(self, response: httpx.Response) -> None:
        if (left := rate_limit(response)) is None:
            return
        remaining, reset, quota = left
        try:
            self._budget.observe(remaining, reset, quota)
        except Transient as error:
            # The call itself was answered: that must not be lost over a note to the budget.
            log.warning("could not lower the API budget", extra={"reason": str(error)})

    def _close(self, refused: RateLimited) -> None:
        until = self._clock() + timedelta(seconds=refused.retry_after or 0)
        try:
            self._budget.close(until, f"429 from Cloudflare ({refused.facts})")
        except Transient as error:
            log.warning("could not close the API budget", extra={"reason": str(error)})

    def _log(
        self,
        level: int,
        method: str,
        path: str,
        lane: Lane,
        facts: Facts,
        began: datetime,
        error: CloudflareError | None = None,
    ) -> None:
        log.log(
            level,
            "cloudflare call failed" if error else "cloudflare call",
            extra={
                "operation": facts.operation,
                "method": method,
                "path": path,
                "lane": lane,
                "status": facts.status,
                "code": facts.code,
                "cf_ray": facts.cf_ray,
                "error": type(error).__name__ if error else None,
                "detail": facts.message,
                "duration_ms": round((self._clock() - began) / timedelta(milliseconds=1)),
            },
        )


class Calls:
    """Send the calls of one lane: what the groups of the API are given to speak through."""

    def __init__(self, transport: Transport, permits: Permits, account_id: str) -> None:
        self._transport = transport
        self._permits = permits
        self.account = f"accounts/{account_id}"

    def read(self, method: str, path: str, operation: str, **request: Any) -> Answer:
        """Send a call that changes nothing."""
        return self._transport.call(
            self._permits, method, path, operation=operation, effect=Effect.READ, **request
        )

    def write(self, method: str, path: str, operation: str, **request: Any) -> Answer:
        """Send a call that changes something: it is sent once."""
        return self._transport.call(
            self._permits, method, path, operation=operation, effect=Effect.WRITE, **request
        )
