"""The door of the billing providers: every vector's verdict, and that nothing unsigned gets in."""

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import Conflict, Permanent, Transient
from shared.webhooks.billing import BILLING_PROVIDERS
from tests.webhooks.asking import asked_raw, refused_in_order, refuses

PATH = "/webhooks/billing/stripe"
ENDED = {
    "id": "evt_1",
    "object": "event",
    "created": 1_790_000_000,
    "livemode": False,
    "type": "customer.subscription.deleted",
    "data": {"object": {"id": "sub_1", "status": "canceled", "customer": "cus_1"}},
}


@pytest.fixture
def stage(make_billing: Callable[..., Any]) -> Any:
    return make_billing()


def by_stripe(body: bytes, secret: str, at: int) -> dict[str, str]:
    """Sign as the official library does."""
    mac = stripe.WebhookSignature._compute_signature(f"{at}.{body.decode()}", secret)
    return {"content-type": "application/json", "stripe-signature": f"t={at},v1={mac}"}


def post(stage: Any, body: bytes, headers: dict[str, str], path: str = PATH) -> Any:
    return stage.client.open(path, method="POST", data=body, headers=headers)


def test_every_vector_gets_its_verdict(
    make_billing: Callable[..., Any], provider: str, vector: dict[str, Any]
) -> None:
    """Accepted is 200, or 400 if it is no JSON; rejected is 4xx, and then nothing is stored."""
    if provider not in BILLING_PROVIDERS:
        return
    stage = make_billing({f"billing/{provider}": tuple(vector["secrets"])})
    stage.clock[0] = float(vector["now"])
    headers = {"content-type": "application/json"} | vector["headers"]
    response = post(stage, vector["body"].encode(), headers, f"/webhooks/billing/{provider}")
    if vector["expect"]["verify"] == "reject":
        assert response.status_code in {400, 401}
        assert stage.inbox.empty
    elif vector["name"] == "published_hello_world_rotation":
        assert response.status_code == 400  # well signed, but no JSON
    else:
        assert response.status_code == 200
        known = {
            "ignored": "unknown" in vector["name"] or "customer.created" in vector["body"],
            "dead_lettered": "published" in vector["name"],
        }
        assert response.json["status"] == "accepted" or known[response.json["status"]]


def test_what_the_official_library_signs_is_taken_once(
    stage: Any, keyring: tuple[str, str, str], now: int
) -> None:
    """An event signed by Stripe's own code is accepted, its resend is a duplicate."""
    body = json.dumps(ENDED).encode()
    for expected in ("accepted", "duplicate"):
        response = post(stage, body, by_stripe(body, keyring[0], now))
        assert (response.status_code, response.json["status"]) == (200, expected)
        assert response.json["tenant_status"] == "active"
    assert stage.inbox.digests == [hashlib.sha256(body).hexdigest()] * 2
    (line, _) = stage.lines()
    assert (line["provider"], line["mode"], line["subscription_id"]) == ("stripe", "test", "sub_1")


@pytest.mark.parametrize("name", BILLING_PROVIDERS)
def test_each_provider_has_its_own_secret(
    stage: Any, sign: Any, keyring: tuple[str, str, str], now: int, name: str
) -> None:
    """A signature of another provider's form, or of another secret, opens no door."""
    body = json.dumps(ENDED).encode()
    mac = hmac.digest(keyring[1].encode(), f"{now}:".encode() + body, "sha256").hex()
    headers = sign(body, secrets=keyring[1:2]) | by_stripe(body, keyring[1], now)
    response = post(
        stage,
        body,
        headers | {"paddle-signature": f"ts={now};h1={mac}"},
        f"/webhooks/billing/{name}",
    )
    assert (response.status_code, stage.inbox.empty) == (401, True)


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ENDED | {"data": {}}).encode(),
        json.dumps(ENDED | {"livemode": "no"}).encode(),
        json.dumps(ENDED).encode()[:-1] + b',"id":"evt_2"}',
        b'{"type":"customer.subscription.deleted","id":NaN}',
        b"[]",
    ],
)
def test_a_broken_shape_is_kept_aside_when_well_signed(
    stage: Any, keyring: tuple[str, str, str], now: int, body: bytes
) -> None:
    """Signed: 200, dead-lettered whole. Not signed: 401, and nothing is kept."""
    assert post(stage, body, by_stripe(body, keyring[1], now)).status_code == 401
    assert stage.inbox.empty
    response = post(stage, body, by_stripe(body, keyring[0], now))
    assert (response.status_code, response.json["status"]) == (200, "dead_lettered")
    (letter,) = stage.inbox.dead
    assert (letter["provider"], letter["body"]) == ("stripe", body)
    assert not stage.inbox.events


def test_refusals_come_in_their_order(stage: Any, keyring: tuple[str, str, str], now: int) -> None:
    """Mending a request's faults one by one walks through 404, 405, 415, 413, 400, 401 to 200."""
    good = json.dumps(ENDED).encode()
    signed, forged = (by_stripe(each, keyring[0], now) for each in (good, b"other"))
    refused_in_order(stage, PATH, "/webhooks/billing/clerk", good, signed, forged)


@pytest.mark.parametrize("error", [Transient("down"), Conflict("x"), Permanent("no access")])
def test_storage_that_fails_is_503(
    stage: Any, keyring: tuple[str, str, str], now: int, error: Exception
) -> None:
    """Nothing is acknowledged that is not stored; the provider is told when to come back."""
    body = json.dumps(ENDED).encode()
    stage.inbox.broken = error
    response = post(stage, body, by_stripe(body, keyring[0], now))
    assert (response.status_code, "Retry-After" in response.headers) == (503, True)


def test_no_secret_is_503(make_billing: Callable[..., Any], now: int) -> None:
    """Without a secret nothing can be judged: come back later."""
    stage = make_billing({})
    body = json.dumps(ENDED).encode()
    response = post(stage, body, by_stripe(body, "whsec_anything", now))
    assert (response.status_code, response.json["error"]["name"]) == (503, "NotConfigured")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    method=st.sampled_from(["POST", "GET"]),
    path=st.sampled_from([*BILLING_PROVIDERS, "x"]),
    headers=st.dictionaries(
        st.sampled_from(
            [
                *("content-type", "stripe-signature", "paddle-signature", "webhook-id"),
                *("webhook-timestamp", "webhook-signature", "content-encoding"),
            ]
        ),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40),
        max_size=5,
    ),
    body=st.binary(max_size=64),
)
def test_no_stranger_gets_past_or_breaks_the_door(
    stage: Any, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """Arbitrary requests are refused in JSON with a 4xx, and nothing is stored."""
    response = asked_raw(stage, f"/webhooks/billing/{path}", method, headers, body)
    assert refuses(response)
    assert stage.inbox.empty
