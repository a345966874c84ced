"""What holds for every call: a permit first, and what Cloudflare says of its limit is heeded."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from shared.cloudflare import errors
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.domain.budget import Lane
from shared.errors import NoPermit, Transient
from tests.cloudflare.every_call import every_call


@every_call
def test_without_a_permit_nothing_is_sent(
    call: Callable[[LaneClient], Any], client: CloudflareClient, wire: Any, budget: Any
) -> None:
    """No call goes round the budget."""
    budget.left = 0
    with pytest.raises(NoPermit):
        call(client.on(Lane.REPAIR))
    assert wire.requests == []


@every_call
def test_each_request_has_its_own_permit_of_its_lane(
    call: Callable[[LaneClient], Any],
    client: CloudflareClient,
    wire: Any,
    budget: Any,
    failed: Any,
) -> None:
    """However often a call is sent, so many permits were taken, and none of another lane."""
    wire.will(failed(503, 1))
    with pytest.raises(Transient):
        call(client.on(Lane.MIGRATION))
    assert budget.taken == [(Lane.MIGRATION, 1)] * len(wire.requests)


@every_call
def test_a_429_closes_the_budget_for_all(
    call: Callable[[LaneClient], Any],
    client: CloudflareClient,
    wire: Any,
    budget: Any,
    clock: Any,
    failed: Any,
) -> None:
    """After a 429 nobody gets a permit for as long as Cloudflare asks, or for five minutes."""
    wire.will(failed(429, 971, **{"retry-after": "42"}))
    with pytest.raises(errors.RateLimited) as error:
        call(client.on(Lane.SIGNUP))
    assert error.value.retry_after == 42
    assert len(wire.requests) == 1
    wire.will(httpx.Response(429, html="Too many requests"))
    with pytest.raises(errors.RateLimited) as error:
        call(client.on(Lane.SIGNUP))
    assert error.value.retry_after == 300
    assert [until - clock() for until, _ in budget.closed] == [
        timedelta(seconds=42),
        timedelta(seconds=300),
    ]
    assert "8ray-AMS" in budget.closed[0][1]


def test_ratelimit_headers_reach_the_budget(
    client: CloudflareClient, wire: Any, budget: Any, ok: Any, failed: Any
) -> None:
    """What Cloudflare says is left is noted on successes and on refusals."""
    headers = {"ratelimit": '"default";r=50;t=30', "ratelimit-policy": '"default";q=1200;w=300'}
    good = ok({"uuid": "u", "name": "n"})
    good.headers.update(headers)
    wire.will(good, failed(404, 7404, **headers))
    client.on(Lane.REPAIR).d1.get("u")
    assert client.on(Lane.REPAIR).d1.get("u") is None
    assert budget.observed == [(50, 30, 1200)] * 2


def test_a_budget_that_can_not_note_loses_no_answer(
    wire: Any, clock: Any, budget: Any, ok: Any, token: str, caplog: Any
) -> None:
    """When the budget's storage fails after the call, the answer still counts, and a log tells."""

    class Forgetful(type(budget)):  # type: ignore[misc]
        def observe(self, *_: Any) -> None:
            raise Transient("DynamoDB does not answer")

        close = observe

    answer = ok({"uuid": "u", "name": "n"})
    answer.headers["ratelimit"] = '"default";r=50;t=30'
    wire.will(answer)
    with httpx.Client(base_url="https://x.test", transport=httpx.MockTransport(wire)) as http:
        client = CloudflareClient(
            http, account_id="a", token=token, budget=Forgetful(), clock=clock
        )
        assert client.on(Lane.SIGNUP).d1.create("n", "weur").uuid == "u"
        wire.will(httpx.Response(429))
        with pytest.raises(errors.RateLimited):
            client.on(Lane.SIGNUP).d1.get("u")
    assert "could not lower the API budget" in caplog.text
    assert "could not close the API budget" in caplog.text


def test_reserved_permits_are_taken_at_once_and_spent_first(
    client: CloudflareClient, wire: Any, budget: Any, ok: Any
) -> None:
    """An export's permits are had before its first step; later calls take their own."""
    wire.will(ok({"bookmark": "b"}))
    reserved = client.on(Lane.TEARDOWN).reserve(3)
    assert budget.taken == [(Lane.TEARDOWN, 3)]
    budget.left = 0
    for _ in range(3):
        reserved.d1.bookmark("u")
    with pytest.raises(NoPermit):
        reserved.d1.bookmark("u")


def test_a_reservation_is_whole_or_not_at_all(client: CloudflareClient, budget: Any) -> None:
    """With too few permits left none is taken."""
    budget.left = 2
    with pytest.raises(NoPermit):
        client.on(Lane.TEARDOWN).reserve(3)
    assert budget.left == 2
