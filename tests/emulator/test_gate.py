import threading
import time
from typing import Any

import httpx
import pytest

from local.cloudflare.gate import ConnectionDropped
from tests.emulator.api import Api
from tests.emulator.conftest import Clock

CREATE = "POST /accounts/{a}/d1/database"
LIST = "GET /accounts/{a}/d1/database"


def stats(api: Api) -> dict[str, Any]:
    shown: dict[str, Any] = api.control.get("/stats").json()
    return shown


def set_faults(api: Api, *faults: dict[str, Any]) -> None:
    answer = api.control.post("/faults", json=list(faults))
    assert answer.json() == {"faults": len(faults)}, answer.text


def names(api: Api) -> list[str]:
    return [item["name"] for item in api.result("GET", "/d1/database")]


def test_every_answer_has_a_ray_and_the_limits(quiet: Api) -> None:
    """Send cf-ray and Ratelimit headers with answers of any kind."""
    for path in ("/d1/database", "/d1/database/none", "/nowhere"):
        headers = quiet("GET", path).headers
        assert headers["cf-ray"]
        assert headers["ratelimit-policy"] == '"default";q=1200;w=300'
        assert headers["ratelimit"].startswith('"default";r=119')


@pytest.mark.parametrize(
    ("authorization", "status", "code"),
    [("Bearer wrong", 401, 10000), ("Basic x", 401, 10000), (None, 400, 9106)],
)
def test_a_wrong_token_is_refused(
    quiet: Api, authorization: str | None, status: int, code: int
) -> None:
    """Answer 401 with 10000, or 400 with 9106 without any token, and count no call as passed."""
    del quiet.client.headers["authorization"]
    headers = {"authorization": authorization} if authorization else {}
    assert quiet.refusal("GET", "/d1/database", headers=headers) == (status, code)
    assert quiet.refusal("GET", "/nowhere", headers=headers) == (status, code)


def test_a_token_without_a_permission_is_refused(quiet: Api) -> None:
    """Answer 403 with 10000 where the token's groups do not reach; reading is less than writing."""
    groups = {"token": "weak", "groups": ["D1 Read", "Workers Scripts Write"]}
    assert quiet.control.post("/tokens", json=groups).is_success
    quiet.client.headers["authorization"] = "Bearer weak"
    assert quiet.result("GET", "/d1/database") == []
    assert quiet.refusal("POST", "/d1/database", json={"name": "x"}) == (403, 10000)
    assert quiet.result("GET", "/workers/scripts") == []
    assert quiet.result("GET", "/tokens/verify")["status"] == "active"
    quiet.control.post("/tokens", json={"token": "weak", "groups": None})
    assert quiet.refusal("GET", "/d1/database") == (401, 10000)


def test_another_account_is_refused(quiet: Api) -> None:
    """Answer 403 with 7403 for D1, 404 with 7003 for the rest."""
    base = str(quiet.client.base_url).replace(quiet.emulator.account.account_id, "f" * 32)
    assert quiet.refusal("GET", f"{base}d1/database") == (403, 7403)
    assert quiet.refusal("GET", f"{base}workers/scripts") == (404, 7003)


def test_a_path_or_method_that_is_not_there_is_refused(quiet: Api) -> None:
    """Answer 404 with 7003 and 7000, or 405 with 7001."""
    body = quiet("GET", "/nowhere").json()
    assert [error["code"] for error in body["errors"]] == [7003, 7000]
    assert quiet.refusal("DELETE", "/d1/database") == (405, 7001)


def test_tokens_and_accounts_introduce_themselves(quiet: Api) -> None:
    """Verify user and account tokens, and list the one account."""
    root = str(quiet.client.base_url).split("/accounts/", maxsplit=1)[0]
    for path in (f"{root}/user/tokens/verify", "/tokens/verify"):
        answer = quiet("GET", path).json()
        assert answer["result"]["status"] == "active"
        assert answer["messages"][0]["code"] == 10000
    (account,) = quiet.result("GET", f"{root}/accounts")
    assert account["id"] == quiet.emulator.account.account_id
    assert quiet("POST", f"{root}/graphql", json={}).json()["errors"] is None


def test_over_the_limit_everything_is_refused_for_as_long_as_the_window(
    quiet: Api, clock: Clock
) -> None:
    """Answer 429 with 971 and Retry-After until the lock-out ends, whatever is called."""
    quiet.control.post("/limits", json={"calls": 3, "window": 300.0}).raise_for_status()
    for _ in range(3):
        assert quiet("GET", "/d1/database").is_success
    clock.now += 100
    answer = quiet("GET", "/d1/database")
    assert answer.status_code == 429
    assert answer.json()["errors"][0]["code"] == 971
    assert answer.headers["retry-after"] == "300"
    assert answer.headers["ratelimit"] == '"default";r=0;t=300'
    clock.now += 299
    assert quiet.refusal("POST", "/d1/database", json={"name": "x"}) == (429, 971)
    assert quiet("GET", "/nowhere").headers["retry-after"] == "1"
    clock.now += 1
    assert quiet("GET", "/d1/database").is_success
    assert stats(quiet)["rate_limited"] == 3


def test_the_window_slides(quiet: Api, clock: Clock) -> None:
    """Let calls pass as older ones leave the window."""
    quiet.control.post("/limits", json={"calls": 2, "window": 10.0}).raise_for_status()
    for _ in range(5):
        answer = quiet("GET", "/d1/database")
        assert answer.is_success
        clock.now += 6
    assert answer.headers["ratelimit"] == '"default";r=0;t=4'
    assert stats(quiet) | {"calls": {}} == {
        "calls": {},
        "total": 5,
        "rate_limited": 0,
        "peak_5min": 2,
    }


def test_calls_are_counted_by_route(quiet: Api) -> None:
    """Count API calls under the route's name, control calls not at all, until reset."""
    uuid = quiet.database("one")
    quiet("GET", f"/d1/database/{uuid}")
    quiet("GET", "/workers/scripts/none/settings")
    quiet("GET", "/nowhere")
    assert stats(quiet)["calls"] == {
        "GET (no such route)": 1,
        "GET /accounts/{a}/d1/database/{id}": 1,
        "GET /accounts/{a}/workers/scripts/{n}/settings": 1,
        CREATE: 1,
    }
    quiet.control.post("/reset")
    assert stats(quiet) == {"calls": {}, "total": 0, "rate_limited": 0, "peak_5min": 0}
    assert names(quiet) == ["one"]


def test_a_status_fault_strikes_instead_of_the_work(quiet: Api) -> None:
    """Answer the nth call so, do nothing, and let the calls around it pass."""
    set_faults(quiet, {"route": CREATE, "nth": 2, "do": "status", "status": 503})
    outcomes = [
        quiet("POST", "/d1/database", json={"name": name}).status_code for name in ("a", "b", "c")
    ]
    assert outcomes == [200, 503, 200]
    assert names(quiet) == ["a", "c"]


def test_a_fault_can_strike_everything(quiet: Api) -> None:
    """Answer every call of every route so, until reset."""
    fault = {"route": "*", "nth": "every", "do": "status", "status": 429, "seconds": 7}
    set_faults(quiet, fault)
    for path in ("/d1/database", "/workers/scripts", "/nowhere"):
        answer = quiet("GET", path)
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "7"
        assert answer.json()["errors"][0]["code"] == 971
    assert stats(quiet)["rate_limited"] == 0
    quiet.control.post("/reset")
    assert names(quiet) == []


def test_setting_faults_replaces_those_before(quiet: Api) -> None:
    """Count `nth` from the new setting."""
    fault = {"route": LIST, "nth": 2, "do": "status", "status": 500}
    set_faults(quiet, fault)
    assert names(quiet) == []
    set_faults(quiet, fault)
    assert names(quiet) == []
    assert quiet("GET", "/d1/database").status_code == 500
    set_faults(quiet)
    assert names(quiet) == []


def test_a_lost_answer_was_committed(live: Api) -> None:
    """Drop the connection after the work is done."""
    set_faults(live, {"route": CREATE, "do": "lose_answer"})
    with pytest.raises(httpx.RemoteProtocolError):
        live.database("lost")
    assert live.result("GET", "/d1/database/lost")["name"] == "lost"
    live.database("found")


def test_a_lost_answer_in_the_process_is_the_same_error(quiet: Api) -> None:
    """Raise what httpx raises when a server hangs up."""
    set_faults(quiet, {"route": CREATE, "do": "lose_answer"})
    with pytest.raises(httpx.RemoteProtocolError) as caught:
        quiet.database("lost")
    assert isinstance(caught.value, ConnectionDropped)
    assert names(quiet) == ["lost"]


def test_a_hanging_call_does_nothing(live: Api) -> None:
    """Answer nothing, do nothing, and drop the connection in the end."""
    set_faults(live, {"route": CREATE, "nth": "every", "do": "hang", "seconds": 0.3})
    with pytest.raises(httpx.ReadTimeout):
        live("POST", "/d1/database", json={"name": "hung"}, timeout=0.1)
    with pytest.raises(httpx.RemoteProtocolError):
        live.database("hung")
    assert live.refusal("GET", "/d1/database/hung") == (404, 7404)


def test_a_delayed_call_commits_even_when_the_caller_has_gone(live: Api) -> None:
    """Do the work late: what a caller that gave up must reckon with."""
    set_faults(live, {"route": CREATE, "do": "delay", "seconds": 0.5})
    with pytest.raises(httpx.ReadTimeout):
        live("POST", "/d1/database", json={"name": "late"}, timeout=0.1)
    assert live.refusal("GET", "/d1/database/late") == (404, 7404)
    deadline = time.monotonic() + 10
    while live("GET", "/d1/database/late").is_error:
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


def test_latency_is_added_by_route(live: Api) -> None:
    """Take as much longer as the route's own latency says, or that of `*`."""

    def took(path: str) -> float:
        begun = time.monotonic()
        live("GET", path)
        return time.monotonic() - begun

    answer = live.control.post("/latency", json={LIST: 200, "*": 0})
    assert answer.json() == {"routes": 2}
    assert took("/d1/database") >= 0.2
    assert took("/workers/scripts") < 0.2
    live.control.post("/latency", json={"*": 150})
    assert took("/workers/scripts") >= 0.15


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {}),
        ("/faults", [{"route": CREATE}]),
        ("/faults", [{"route": CREATE, "do": "explode"}]),
        ("/faults", [{"route": CREATE, "do": "status"}]),
        ("/faults", [{"route": CREATE, "do": "status", "status": 200}]),
        ("/faults", [{"route": CREATE, "do": "delay"}]),
        ("/faults", [{"route": CREATE, "do": "hang", "nth": 0}]),
        ("/faults", [{"route": CREATE, "do": "hang", "nth": "some"}]),
        ("/faults", [{"route": CREATE, "do": "hang", "more": 1}]),
        ("/faults", [{"route": "POST /accounts/{a}/d1/databases", "do": "hang"}]),
        ("/latency", []),
        ("/latency", {LIST: "slow"}),
        ("/latency", {LIST: -1}),
        ("/latency", {"GET /nowhere": 1}),
        ("/hold", {"script": "x"}),
        ("/hold", {"script": "x", "hold": "yes"}),
        ("/hold", {"script": "", "hold": True}),
        ("/limits", {"calls": 0}),
        ("/limits", {"speed": 1}),
        ("/settle", {"seconds": 0}),
        ("/tokens", {"token": "x", "groups": ["All"]}),
        ("/account", {}),
    ],
)
def test_malformed_control_input_is_refused(quiet: Api, path: str, body: Any) -> None:
    """Answer 400 with one line that says what is wrong, and change nothing."""
    set_faults(quiet, {"route": LIST, "do": "status", "status": 500})
    answer = quiet.control.post(path, json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error
    assert "\n" not in error
    assert quiet("GET", "/d1/database").status_code == 500


def test_control_input_must_be_json(quiet: Api) -> None:
    """Answer 400."""
    answer = quiet.control.post("/faults", content=b"[")
    assert (answer.status_code, answer.json()) == (400, {"error": "the body is not JSON"})


def test_placeholders_of_a_route_may_have_any_name(quiet: Api) -> None:
    """Take `{account_id}` for `{a}`, and list the routes as they are named."""
    fault = {"route": "GET /accounts/{account_id}/d1/database/{uuid}", "do": "status"}
    set_faults(quiet, fault | {"status": 418})
    assert quiet("GET", "/d1/database/x").status_code == 418
    assert LIST in quiet.control.get("/routes").json()
