"""Kill the control plane right after any of its side effects, and see what is left."""

from collections.abc import Callable
from typing import Any

import httpx

_WRITES = {
    "dynamodb": frozenset({"put_item", "update_item", "delete_item", "transact_write_items"}),
    "s3": frozenset(
        {
            *("put_object", "create_multipart_upload", "upload_part", "complete_multipart_upload"),
            "delete_objects",
        }
    ),
}


class Killed(BaseException):
    """Stand for SIGKILL: nothing in the product catches it."""


class Executioner:
    """Count side effects, remember them, and strike right after the chosen one.

    `meddle` sees each HTTP request before it is sent, and may answer in the other side's place.
    """

    def __init__(self) -> None:
        self.effects: list[str] = []
        self.meddle: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self._strike_at: int | None = None

    def arm(self, number: int | None) -> None:
        """Strike after the side effect of this number, counted from 1; None: never."""
        self.effects.clear()
        self._strike_at = number

    def happened(self, what: str) -> None:
        """Take note of a side effect that was just committed."""
        self.effects.append(what)
        if len(self.effects) == self._strike_at:
            self._strike_at = None
            raise Killed(what)


class WatchedAws:
    """Pass every call on, and tell the executioner of the writes once they are done."""

    def __init__(self, service: str, client: Any, executioner: Executioner) -> None:
        self._service = service
        self._client = client
        self._executioner = executioner

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = method(*args, **kwargs)
            if name in _WRITES[self._service]:
                self._executioner.happened(f"{self._service} {name}")
            return answer

        return call


class WatchedTransport(httpx.BaseTransport):
    """Pass every request on, and tell the executioner of changes once they are answered."""

    def __init__(self, executioner: Executioner) -> None:
        self._inner = httpx.HTTPTransport(verify=False)  # or it reads all certificates there are
        self._executioner = executioner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        instead = self._executioner.meddle(request)
        if instead is not None:
            return instead
        response = self._inner.handle_request(request)
        response.read()
        if request.method != "GET":
            self._executioner.happened(f"{request.method} {request.url.path.rsplit('/', 1)[-1]}")
        return response

    def close(self) -> None:
        self._inner.close()
