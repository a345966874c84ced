"""What holds for every call: a permit first, no token in sight, nothing done twice."""

import ast
import inspect
import logging
import traceback
from collections.abc import Callable
from datetime import timedelta
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
from shared.errors import ControlPlaneError, NoPermit, OutcomeUnknown, Transient

SECRET = "canary-secret-value-77"
WRITES: dict[str, Callable[[LaneClient], Any]] = {
    "d1.create": lambda c: c.d1.create("t-1", "weur"),
    "d1.delete": lambda c: c.d1.delete("u"),
    "d1.query": lambda c: c.d1.query("u", "INSERT INTO x VALUES (1)"),
    "d1.batch": lambda c: c.d1.batch("u", [("INSERT INTO x VALUES (?)", [1])]),
    "d1.raw": lambda c: c.d1.raw("u", "INSERT INTO x VALUES (1)"),
    "d1.import_ingest": lambda c: c.d1.import_ingest("u", "etag", "file"),
    "workers.patch_settings": lambda c: c.workers.patch_settings(
        "s", [{"type": "secret_text", "name": "S", "text": SECRET}]
    ),
    "workers.upload": lambda c: c.workers.upload(
        "s",
        "main.js",
        {"main.js": b"export default {}"},
        {"bindings": [{"type": "secret_text", "name": "S", "text": SECRET}]},
    ),
    "workers.delete": lambda c: c.workers.delete("s"),
    "workers.put_secret": lambda c: c.workers.put_secret("s", "S", SECRET),
    "workers.set_script_subdomain": lambda c: c.workers.set_script_subdomain("s", enabled=True),
}
READS: dict[str, Callable[[LaneClient], Any]] = {
    "d1.get": lambda c: c.d1.get("u"),
    "d1.pages": lambda c: list(c.d1.pages()),
    "d1.query read-only": lambda c: c.d1.query("u", "SELECT 1", read_only=True),
    "d1.read": lambda c: c.d1.read("u", ["SELECT 1"]),
    "d1.export": lambda c: c.d1.export("u"),
    "d1.import_init": lambda c: c.d1.import_init("u", "etag"),
    "d1.import_poll": lambda c: c.d1.import_poll("u", "mark"),
    "d1.bookmark": lambda c: c.d1.bookmark("u"),
    "workers.settings": lambda c: c.workers.settings("s"),
    "workers.exists": lambda c: c.workers.exists("s"),
    "workers.deployments": lambda c: c.workers.deployments("s"),
    "workers.versions": lambda c: c.workers.versions("s"),
    "workers.account_subdomain": lambda c: c.workers.account_subdomain(),
    "workers.script_subdomain": lambda c: c.workers.script_subdomain("s"),
    "account.verify_token": lambda c: c.account.verify_token(),
    "account.accounts": lambda c: c.account.accounts(),
}
CALLS = {**WRITES, **READS}


def by_name(calls: dict[str, Callable[[LaneClient], Any]]) -> Any:
    return pytest.mark.parametrize("call", [pytest.param(c, id=n) for n, c in calls.items()])


every_call = by_name(CALLS)
every_read = by_name(READS)
every_write = by_name(WRITES)


def test_these_are_all_the_calls_there_are() -> None:
    """A method that is added to the client must be added to these tests."""
    public = {
        f"{group}.{name}"
        for group, kind in (("d1", D1), ("workers", Workers), ("account", Account))
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    assert public == {name.split()[0] for name in CALLS}


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


@every_call
def test_the_token_is_sent_and_shown_nowhere(
    call: Callable[[LaneClient], Any],
    client: CloudflareClient,
    wire: Any,
    failed: Any,
    token: str,
    caplog: Any,
) -> None:
    """Neither errors nor logs nor representations repeat the token or a secret we sent."""
    caplog.set_level(logging.DEBUG)
    echo = f"bad header 'Bearer {token}' and value {SECRET}"
    faults: list[Any] = [
        failed(400, 10021, echo),
        failed(403, 10000, echo),
        failed(500, 1, echo),
        failed(429, 971, echo),
        httpx.ReadTimeout(echo),
        httpx.LocalProtocolError(echo),
    ]
    for fault in faults:
        wire.will(fault)
        with pytest.raises(ControlPlaneError) as error:
            call(client.on(Lane.SIGNUP))
        ours = [str(error.value), repr(error.value), repr(vars(error.value))]
        sent = [token] + [SECRET] * (SECRET.encode() in wire.requests[0].content)
        assert not any(secret in text for secret in sent for text in ours)
    assert token not in "".join(traceback.format_exception(error.value))
    assert wire.requests[0].headers["authorization"] == f"Bearer {token}"
    logged = [repr(vars(record)) for record in caplog.records]
    assert len(logged) >= len(faults)
    assert not any(secret in text for secret in sent for text in logged)
    assert token not in repr(client) + repr(client.on(Lane.SIGNUP))


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "caf\u00e9", "nul\x00"])
def test_a_token_that_can_not_be_one_is_not_sent(
    value: str, wire: Any, clock: Any, budget: Any
) -> None:
    """A broken secret is named without being shown, and costs no permit."""
    with httpx.Client(base_url="https://x.test", transport=httpx.MockTransport(wire)) as http:
        client = CloudflareClient(http, account_id="a", token=value, budget=budget, clock=clock)
        with pytest.raises(errors.BadToken, match="put a valid one") as error:
            client.on(Lane.SIGNUP).d1.get("u")
    text = "".join(traceback.format_exception(error.value))
    assert not value.strip() or value not in text
    assert wire.requests == []
    assert budget.taken == []


def test_a_stray_newline_round_the_token_does_no_harm(
    wire: Any, clock: Any, budget: Any, ok: Any, token: str
) -> None:
    """A secret pasted with its line end works."""
    wire.will(ok({"bookmark": "b"}))
    with httpx.Client(base_url="https://x.test", transport=httpx.MockTransport(wire)) as http:
        client = CloudflareClient(
            http, account_id="a", token=f"{token}\n", budget=budget, clock=clock
        )
        client.on(Lane.SIGNUP).d1.bookmark("u")
    assert wire.requests[0].headers["authorization"] == f"Bearer {token}"


def test_the_log_has_what_support_asks_for(
    client: CloudflareClient, wire: Any, ok: Any, failed: Any, caplog: Any
) -> None:
    """A call's record names operation, status, code, lane and cf-ray; a change's at INFO."""
    caplog.set_level(logging.INFO)
    wire.will(ok({"uuid": "u", "name": "n"}), failed(400, 7406))
    client.on(Lane.SIGNUP).d1.create("n", "weur")
    with pytest.raises(errors.AccountFull):
        client.on(Lane.REFILL).d1.create("n", "weur")
    good, bad = (vars(record) for record in caplog.records if record.name == "d1fleet")
    assert (good["operation"], good["status"], good["lane"]) == ("create database", 200, "signup")
    assert good["cf_ray"] == bad["cf_ray"] == "8ray-AMS"
    assert (bad["levelname"], bad["code"], bad["error"]) == ("WARNING", 7406, "AccountFull")


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
