"""One POST to wherever alerts go: to the address that was judged, without redirects, in seconds."""

import email.utils
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import httpx

from shared.alerting.addresses import Resolve, public_addresses, resolve
from shared.alerting.deadline import Deadline
from shared.errors import OutcomeUnknown, Permanent, Transient

__all__ = ["Answer", "Poster", "Refused", "Url", "open_client"]

_PATIENCE: Final = 5.0
_CONNECT: Final = 3.0
_MOST_TRIED: Final = 3
_MOST_READ: Final = 8192
_LONGEST_WAIT: Final = 3600.0
_LATER: Final = frozenset({408, 425, 429})

Url = Callable[[], str]
"""What gives a URL when it is needed: it may be a secret."""


def open_client() -> httpx.Client:
    """Return what a `Poster` posts with: no proxy, and a connection of its own for each post.

    A kept one is found by its address alone, whichever name it was proven to be of; and it breaks
    while the function is frozen, and then nobody knows whether the alert arrived.
    """
    limits = httpx.Limits(max_connections=10, max_keepalive_connections=0)
    return httpx.Client(limits=limits, trust_env=False)


@dataclass(frozen=True)
class Answer:
    """Hold what the other side answered; `text` is the beginning of its body, not to be trusted."""

    status: int
    text: str


@dataclass(frozen=True)
class Poster:
    """Post to public https addresses; with `allow_private` to any, and by http too.

    `patience` is how many seconds one address has, all in all.
    """

    http: httpx.Client
    clock: Callable[[], datetime]
    allow_private: bool = False
    resolve: Resolve = resolve
    patience: float = _PATIENCE

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body and return a 2xx answer.

        Nothing that is raised says where it went: the URL may be a secret.

        Raises:
            Transient: not reached, 408, 425, 429 (after `Retry-After`, an hour at most) or 5xx.
            OutcomeUnknown: it was sent, and no answer came.
            Permanent: the URL is refused, or the other side refuses: any other status.
        """
        target = self._parsed(url)
        port = target.port or {"https": 443, "http": 80}[target.scheme]
        addresses = public_addresses(
            _host(target), port, allow_private=self.allow_private, resolve=self.resolve
        )
        *others, last = addresses[:_MOST_TRIED]
        for address in others:
            try:
                return self._post(target, address, body, headers)
            except _NotReached:
                continue
        return self._post(target, last, body, headers)

    def _parsed(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url.strip())
        except httpx.InvalidURL:
            raise Permanent("its URL is none") from None
        if not target.host or target.scheme not in {"https", "http"}:
            raise Permanent("its URL must begin with https://")
        if target.scheme == "http" and not self.allow_private:
            raise Permanent("its URL must begin with https://, or set ALERT_ALLOW_PRIVATE")
        return target

    def _post(
        self, target: httpx.URL, address: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        deadline = Deadline(self.patience)
        request = self.http.build_request(
            "POST",
            target.copy_with(host=address),
            content=body,
            headers={
                **headers,
                "Host": target.netloc.decode("ascii"),
                # A few bytes of a compressed answer could fill the memory.
                "Accept-Encoding": "identity",
            },
            # The certificate must be the name's, though the connection goes to the address.
            extensions={"sni_hostname": _host(target), "trace": deadline.watch},
            timeout=httpx.Timeout(self.patience, connect=_CONNECT),
        )
        try:
            with deadline:
                response = self.http.send(request, stream=True, follow_redirects=False)
                try:
                    text = _beginning(response)
                finally:
                    response.close()
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise _NotReached(f"it can't be reached: {type(error).__name__}") from None
        except httpx.HTTPError as error:
            # No chain: it would quote the request, and its URL may be the secret.
            late = deadline.over or isinstance(error, httpx.TimeoutException)
            why = " in time" if late else f": {type(error).__name__}"
            raise OutcomeUnknown(f"it gave no answer{why}") from None
        return self._judged(response, text)

    def _judged(self, response: httpx.Response, text: str) -> Answer:
        status = response.status_code
        if response.is_success:
            return Answer(status, text)
        if status in _LATER or status >= 500:
            wait = _retry_after(response, self.clock())
            raise Transient(f"it answered {status}", retry_after=wait)
        if response.is_redirect or 300 <= status < 400:
            raise Permanent(f"it answered {status}, and redirects are not followed")
        raise Refused(status, text)


class _NotReached(Transient):
    """Say that no connection came about; the next address may be tried."""


class Refused(Permanent):
    """Say that the other side will never take it; `text` is what it answered."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"it answered {status}")
        self.status = status
        self.text = text


def _host(target: httpx.URL) -> str:
    """Return the host as it is asked for: other spellings of it may resolve to another."""
    return target.raw_host.decode("ascii")


def _beginning(response: httpx.Response) -> str:
    read = b""
    # The status is the answer: that the rest does not come takes nothing back.
    with suppress(httpx.HTTPError):
        for piece in response.iter_raw():
            read += piece
            if len(read) >= _MOST_READ:
                break
    return read[:_MOST_READ].decode("utf-8", "replace")


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Return what `Retry-After` asks for, in seconds or as a date."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 10:
        return min(float(value), _LONGEST_WAIT)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - now).total_seconds(), 0.0), _LONGEST_WAIT)
