"""The client of Cloudflare's REST API: choose a lane, then call.

::

    cloudflare = CloudflareClient(http, account_id=…, token=…, budget=…, clock=…)
    cloudflare.on(Lane.SIGNUP).d1.create(name, "weur")

There is no call without a lane and no lane without the budget.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Final, Self
from urllib.parse import quote

import httpx

from shared.cloudflare.account import Account
from shared.cloudflare.d1 import D1
from shared.cloudflare.models import ExportDone, ImportUpload
from shared.cloudflare.ports import Budget
from shared.cloudflare.transfers import fetch_dump, put_dump
from shared.cloudflare.transport import Calls, Permits, Transport
from shared.cloudflare.workers import Workers
from shared.domain.budget import Lane

__all__ = ["CloudflareClient", "LaneClient"]


class CloudflareClient:
    """Reach one Cloudflare account.

    `http` has the API's address as its `base_url`; `token` is the API token or how to get it, asked
    anew for each call; `clock` tells the time in UTC.
    """

    def __init__(
        self,
        http: httpx.Client,
        *,
        account_id: str,
        token: str | Callable[[], str],
        budget: Budget,
        clock: Callable[[], datetime],
    ) -> None:
        self._account_id = quote(account_id, safe="")
        self._budget = budget
        self._http = http
        self._transport = Transport(http, token=token, budget=budget, clock=clock)

    def on(self, lane: Lane) -> "LaneClient":
        """Return the API, its calls paid for by this lane of the budget."""
        return LaneClient(self._transport, _PerCall(self._budget, lane), self._account_id)

    # Dumps lie in object storage under signed addresses: no call of the API, no token, no permit.

    def fetch(self, dump: ExportDone) -> Iterator[bytes]:
        """Yield the dump of a finished export piece by piece.

        Raises:
            Transient: it did not arrive whole.
        """
        return fetch_dump(self._http, dump.signed_url)

    def put(self, place: ImportUpload, dump: Iterable[bytes], *, size: int, md5: str) -> None:
        """Put a dump of `size` bytes where an import will read it, piece by piece.

        Raises:
            Transient: it did not arrive whole; a new `import_init` gives a new place.
        """
        put_dump(self._http, place.upload_url, dump, md5, size=size)


class LaneClient:
    """Call the API on one lane of the budget: `d1`, `workers` and `account` group its calls."""

    def __init__(self, transport: Transport, permits: Permits, account_id: str) -> None:
        self._transport = transport
        self._permits = permits
        self._account_id = account_id
        calls = Calls(transport, permits, account_id)
        self.d1 = D1(calls)
        self.workers = Workers(calls)
        self.account = Account(calls)

    def reserve(self, n: int) -> Self:
        """Return the same lane with `n` permits taken beforehand, all at once.

        For what must not stop half-way, such as an export, which is cancelled when not polled.
        Calls beyond the n-th take permits one by one.

        Raises:
            NoPermit: not all of them are to be had now; nothing was taken.
        """
        reserved = _Reserved(self._permits, n)
        return type(self)(self._transport, reserved, self._account_id)


class _PerCall:
    """Take each permit when it is needed."""

    def __init__(self, budget: Budget, lane: Lane) -> None:
        self._budget = budget
        self.lane: Final = lane

    def take(self, n: int = 1) -> None:
        self._budget.take(self.lane, n)


class _Reserved:
    """Hand out permits that were taken at once, then take each when it is needed."""

    def __init__(self, permits: Permits, n: int) -> None:
        permits.take(n)
        self._permits = permits
        self._left = n
        self.lane: Final = permits.lane

    def take(self, n: int = 1) -> None:
        if self._left >= n:
            self._left -= n
        else:
            self._permits.take(n)
