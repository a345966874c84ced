"""What holds for every call: nothing is done twice, and whatever comes back has a meaning."""

import ast
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import shared.cloudflare
from shared.cloudflare import errors
from shared.cloudflare.account import Account
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.cloudflare.d1 import D1
from shared.cloudflare.workers import Workers
from shared.domain.budget import Lane
from shared.errors import ControlPlaneError, OutcomeUnknown, Transient
from tests.cloudflare.every_call import CALLS, every_call, every_read, every_write


def test_these_are_all_the_calls_there_are() -> None:
    """A method that is added to the client must be added to these tests."""
    public = {
        f"{group}.{name}"
        for group, kind in (("d1", D1), ("workers", Workers), ("account", Account))
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == {name.split()[0] for name in CALLS}


def test_http_is_spoken_in_two_places_only() -> None:
    """The transport sends to the API; signed addresses of dumps are the one other thing."""
    speaking = {}
    for path in Path(str(shared.cloudflare.__path__[0])).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in {
                "request",
                "send",
                "stream",
                "put",
                "post",
                "patch",
            }:
                speaking.setdefault(path.stem, set()).add(node.attr)
    assert speaking == {"transport": {"request"}, "transfers": {"put", "stream"}}


@every_read
def test_a_failed_read_is_sent_three_times_at_most(
    call: Callable[[LaneClient], Any], client: CloudflareClient, wire: Any, failed: Any
) -> None:
    """Reads are repeated at once when they got lost, and then the error is told."""
    for fault in (failed(503, 1), httpx.ReadTimeout("slow"), httpx.ConnectError("down")):
        wire.requests.clear()
        wire.will(fault)
        with pytest.raises(Transient) as error:
            call(client.on(Lane.REPAIR))
        assert not isinstance(error.value, OutcomeUnknown)
        assert len(wire.requests) == 3


@every_write
@pytest.mark.parametrize(
    "fault",
    [
        httpx.ReadTimeout("slow"),
        httpx.WriteError("cut"),
        httpx.RemoteProtocolError("Server disconnected without sending a response."),
        httpx.Response(500, json={"success": False, "errors": [{"code": 1}]}),
        httpx.Response(502, html="<h1>Bad gateway"),
        httpx.Response(200, html="<h1>Hello"),
        httpx.Response(200, content=b'{"success": true, "resu'),
        httpx.Response(200, json={"success": False, "errors": []}),
        httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    ],
    ids=lambda fault: getattr(fault, "status_code", type(fault).__name__),
)
def test_a_change_whose_answer_is_lost_is_sent_once(
    call: Callable[[LaneClient], Any],
    client: CloudflareClient,
    wire: Any,
    fault: httpx.Response | Exception,
) -> None:
    """A change is never repeated blindly: the caller is told that it may have happened."""
    wire.will(fault)
    with pytest.raises(OutcomeUnknown):
        call(client.on(Lane.SIGNUP))
    assert len(wire.requests) == 1


@every_write
def test_a_change_that_was_never_sent_is_not_in_doubt(
    call: Callable[[LaneClient], Any], client: CloudflareClient, wire: Any
) -> None:
    """Without a connection nothing happened, and the error says so."""
    for fault in (httpx.ConnectTimeout("x"), httpx.ConnectError("x"), httpx.PoolTimeout("x")):
        wire.will(fault)
        with pytest.raises(errors.NotReached):
            call(client.on(Lane.SIGNUP))


@every_call
@pytest.mark.parametrize("result", [None, [], [3], 3, "x", {"uuid": 5}, {"versions": [7]}])
def test_no_malformed_result_is_more_than_an_error(
    call: Callable[[LaneClient], Any],
    client: CloudflareClient,
    wire: Any,
    ok: Any,
    result: Any,
) -> None:
    """Whatever is in the envelope: it parses, or it is one of our errors with the cf-ray."""
    wire.will(ok(result))
    try:
        call(client.on(Lane.REPAIR))
    except ControlPlaneError as error:
        assert "cf-ray 8ray-AMS" in str(error)  # noqa: PT017 - an answer may also parse


def test_a_reader_that_took_long_is_not_sent_again(
    client: CloudflareClient, wire: Any, clock: Any
) -> None:
    """Repeating stops after ten seconds: the function has other things to end in time."""

    def slow() -> httpx.Response:
        clock.forward(11)
        raise httpx.ReadTimeout("slow")

    wire.will(slow)
    with pytest.raises(errors.Unavailable):
        client.on(Lane.REPAIR).d1.get("u")
    assert len(wire.requests) == 1


def test_a_read_told_to_wait_is_not_sent_again(
    client: CloudflareClient, wire: Any, failed: Any
) -> None:
    """A 503 with Retry-After is handed on with its wait, not hammered."""
    wire.will(failed(503, 1, **{"retry-after": "9"}))
    with pytest.raises(errors.Unavailable) as error:
        client.on(Lane.REPAIR).d1.get("u")
    assert error.value.retry_after == 9
    assert len(wire.requests) == 1


def test_a_read_that_comes_through_at_last_is_answered(
    client: CloudflareClient, wire: Any, budget: Any, ok: Any, failed: Any
) -> None:
    """Two lost reads and an answer are one answer, for three permits."""
    wire.will(failed(500, 1), httpx.ReadError("cut"), ok({"uuid": "u", "name": "n"}))
    assert client.on(Lane.REPAIR).d1.get("u") is not None
    assert len(budget.taken) == 3


def test_timeouts_are_set_for_each_phase(client: CloudflareClient, wire: Any, ok: Any) -> None:
    """No phase of a request can last for ever, and SQL gets the time D1 gives it."""
    wire.will(ok({"bookmark": "b"}), ok([]))
    client.on(Lane.REPAIR).d1.bookmark("u")
    client.on(Lane.REPAIR).d1.query("u", "SELECT 1")
    plain, sql = (request.extensions["timeout"] for request in wire.requests)
    assert plain == {"connect": 5, "read": 20, "write": 10, "pool": 5}
    assert sql["read"] > 30


def test_names_in_paths_can_not_leave_their_place(
    client: CloudflareClient, wire: Any, failed: Any
) -> None:
    """A name with slashes or queries stays one segment of the path."""
    wire.will(failed(404, 7404))
    client.on(Lane.REPAIR).d1.get("../x?y=1#z")
    assert wire.requests[0].url.raw_path.split(b"?")[0] == (
        b"/client/v4/accounts/acc/d1/database/..%2Fx%3Fy%3D1%23z"
    )
