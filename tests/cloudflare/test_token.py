"""The token of every call: sent, shown nowhere, and refused if it can be none."""

import logging
import traceback
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.cloudflare import errors
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.domain.budget import Lane
from shared.errors import ControlPlaneError
from tests.cloudflare.every_call import SECRET, every_call


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
