"""A client whose other side is a function, a budget that keeps count, a clock that stands still."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.cloudflare.client import CloudflareClient
from shared.domain.budget import Lane
from shared.errors import NoPermit

TOKEN = "canary-token-9f8e7d6c5b4a"


@dataclass
class CountingBudget:
    """Give `left` permits and remember everything it was told."""

    left: int = 1000
    taken: list[tuple[Lane, int]] = field(default_factory=list)
    closed: list[tuple[datetime, str]] = field(default_factory=list)
    observed: list[tuple[int, int, int | None]] = field(default_factory=list)

    def take(self, lane: Lane, n: int = 1) -> None:
        if n > self.left:
            raise NoPermit("no permit", retry_after=7)
        self.left -= n
        self.taken.append((lane, n))

    def close(self, until: datetime, reason: str) -> None:
        self.closed.append((until, reason))

    def observe(self, remaining: int, reset_seconds: int, quota: int | None = None) -> None:
        self.observed.append((remaining, reset_seconds, quota))


class Clock:
    """Stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Wire:
    """Answer requests with what was laid ready, the last for ever, and keep the requests."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[httpx.Response | Exception | Callable[[], httpx.Response]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        response = answer() if callable(answer) else answer
        return httpx.Response(
            response.status_code, headers=response.headers, content=response.content
        )

    def will(self, *answers: httpx.Response | Exception | Callable[[], httpx.Response]) -> None:
        self.answers = list(answers)

    @property
    def last_json(self) -> Any:
        return json.loads(self.requests[-1].content)


def success(result: Any, *, status: int = 200, **more: Any) -> httpx.Response:
    body = {"success": True, "errors": [], "messages": [], "result": result, **more}
    return httpx.Response(status, json=body, headers={"cf-ray": "8ray-AMS"})


def failure(status: int, code: int | None, message: str = "said", **headers: str) -> httpx.Response:
    errors = [] if code is None else [{"code": code, "message": message}]
    body = {"success": False, "errors": errors, "messages": [], "result": None}
    return httpx.Response(status, json=body, headers={"cf-ray": "8ray-AMS", **headers})


@pytest.fixture
def ok() -> Callable[..., httpx.Response]:
    return success


@pytest.fixture
def failed() -> Callable[..., httpx.Response]:
    return failure


@pytest.fixture
def budget() -> CountingBudget:
    return CountingBudget()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.fixture
def token() -> str:
    return TOKEN


@pytest.fixture
def client(wire: Wire, budget: CountingBudget, clock: Clock) -> Iterator[CloudflareClient]:
    with httpx.Client(
        base_url="https://cloudflare.test/client/v4", transport=httpx.MockTransport(wire)
    ) as http:
        yield CloudflareClient(
            http, account_id="acc", token=lambda: TOKEN, budget=budget, clock=clock
        )
