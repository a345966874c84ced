"""The door of the auth providers: each answer, and that nothing unsigned leaves a trace."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
import svix

from shared.errors import Conflict, NoPermit, OutcomeUnknown, Permanent, Transient
from tests.webhooks.asking import error_of, post


def test_a_signed_signup_is_accepted_once(stage: Any, sign: Any, clerk: Any) -> None:
    """A signup is stored and answered with its tenant's status; the same again is a duplicate."""
    body = clerk()
    first = post(stage, body, sign(body, prefix="svix"))
    assert (first.status_code, first.json) == (
        200,
        {"status": "accepted", "tenant_status": "activating"},
    )
    again = post(stage, body, sign(body, prefix="svix"))
    assert (again.status_code, again.json["status"]) == (200, "duplicate")
    (event,) = stage.inbox.events.values()
    assert (event.tenant_id, event.verb) == ("org_1", "tenant.requested")
    assert stage.inbox.digests == [hashlib.sha256(body).hexdigest()] * 2


def test_what_svix_signs_is_accepted(stage: Any, clerk: Any, now: int, keyring: Any) -> None:
    """The official library's own headers open the door, as Clerk's do."""
    from datetime import UTC, datetime  # noqa: PLC0415

    body = clerk()
    signature = svix.Webhook(keyring[0]).sign(
        "msg_2", datetime.fromtimestamp(now, UTC), body.decode()
    )
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "Svix-Id": "msg_2",
        "Svix-Timestamp": str(now),
        "Svix-Signature": signature,
    }
    assert post(stage, body, headers).json["status"] == "accepted"


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("standard", {"type": "tenant.created", "data": {"id": "acme"}}),
        (
            "supabase",
            {"metadata": {"uuid": "u", "name": "after-user-created"}, "user": {"id": "u1"}},
        ),
    ],
)
def test_the_other_standard_webhooks_providers(
    stage: Any, sign: Any, provider: str, body: Any
) -> None:
    """Standard and Supabase arrive under their own names, with the usual headers."""
    raw = json.dumps(body).encode()
    response = post(stage, raw, sign(raw), f"/webhooks/auth/{provider}")
    assert response.json["status"] == "accepted"
    assert [event.provider for event in stage.inbox.events.values()] == [provider]


def test_auth0_and_its_test_deliveries(make_stage: Any) -> None:
    """A bearer token opens Auth0's door; a test delivery is ignored and says so."""
    stage = make_stage(secrets={"auth/auth0": ("auth0-static-token",)})
    body = {"id": "evt_1", "type": "organization.created", "data": {"object": {"id": "org_1"}}}
    headers = {"Authorization": "Bearer auth0-static-token", "Content-Type": "application/json"}
    test = json.dumps(body | {"a0purpose": "test"}).encode()
    path = "/webhooks/auth/auth0"
    assert post(stage, test, headers, path).json == {
        "status": "ignored",
        "tenant_status": None,
        "reason": "a test delivery",
    }
    assert stage.inbox.empty
    assert post(stage, json.dumps(body).encode(), headers, path).json["status"] == "accepted"
    wrong = headers | {"Authorization": "Bearer auth0-static-tokem"}
    assert post(stage, test, wrong, path).status_code == 401


def test_unknown_types_are_ignored_and_not_stored(stage: Any, sign: Any, clerk: Any) -> None:
    """An event that no tenant depends on is acknowledged, with a reason, and leaves nothing."""
    body = clerk("session.created")
    response = post(stage, body, sign(body, prefix="svix"))
    assert (response.status_code, response.json["status"]) == (200, "ignored")
    assert stage.inbox.empty


@pytest.mark.parametrize(
    "body",
    [
        b'{"type":"organization.created"}',
        b'{"type":"organization.created","data":{"id":"' + b"a" * 129 + b'"}}',
        b'{"type":"organization.created","data":{"id":"a/../b"}}',
        b'{"type":"organization.created","data":{"id":NaN}}',
        b'{"type":"organization.created","data":{"id":"a","id":"b"}}',
        b"[]",
        b"[" * 200_000 + b"]" * 200_000,
    ],
)
def test_a_broken_shape_is_kept_aside_when_well_signed(stage: Any, sign: Any, body: bytes) -> None:
    """Signed: 200, dead-lettered whole, no tenant. Not signed: 401, and nothing is kept."""
    forged = sign(body, prefix="svix", secrets=("whsec_" + base64.b64encode(bytes(32)).decode(),))
    assert post(stage, body, forged).status_code == 401
    assert stage.inbox.empty
    response = post(stage, body, sign(body, prefix="svix"))
    assert (response.status_code, response.json["status"]) == (200, "dead_lettered")
    assert not stage.inbox.events
    (letter,) = stage.inbox.dead
    assert letter["body"] == body
    assert (letter["provider"], letter["mode"], letter["event_id"]) == ("clerk", "live", "msg_1")
    assert letter["reason"] == response.json["reason"]


def test_an_id_of_128_characters_is_accepted(stage: Any, sign: Any, clerk: Any) -> None:
    """The longest tenant id goes through."""
    body = clerk(id="a" * 128)
    assert post(stage, body, sign(body, prefix="svix")).json["status"] == "accepted"


@pytest.mark.parametrize(("age", "status"), [(300, 200), (301, 401), (-300, 200), (-301, 401)])
def test_the_window(stage: Any, sign: Any, clerk: Any, now: int, age: int, status: int) -> None:
    """Exactly 300 seconds old or early is taken, one more is stale."""
    body = clerk()
    assert post(stage, body, sign(body, prefix="svix", at=now - age)).status_code == status
    assert stage.inbox.empty == (status == 401)


def test_rotation_with_three_secrets(make_stage: Any, sign: Any, clerk: Any, keyring: Any) -> None:
    """Each of three configured secrets opens, the log says which; a fourth does not."""
    stage = make_stage(secrets={"auth/clerk": keyring})
    body = clerk()
    for place, secret in enumerate(keyring):
        headers = sign(body, prefix="svix", secrets=(secret,), message_id=f"msg_{place}")
        assert post(stage, body, headers).status_code == 200
        assert stage.lines()[-1]["secret_index"] == place
    fourth = "whsec_" + base64.b64encode(b"no key of this door has 32 bytes").decode()
    assert post(stage, body, sign(body, prefix="svix", secrets=(fourth,))).status_code == 401


def test_a_secret_rotated_behind_the_cache_works_at_once(
    stage: Any, sign: Any, clerk: Any, keyring: Any
) -> None:
    """A signature by a secret that was added just now makes the door read the secrets anew."""
    body, (old, new, _) = clerk(), keyring
    headers = sign(body, prefix="svix", secrets=(new,))
    assert post(stage, body, headers).status_code == 401
    stage.secrets.fresh["auth/clerk"] = (new, old)
    assert post(stage, body, headers).status_code == 200


def test_no_secret_is_503_until_there_is_one(
    make_stage: Any, sign: Any, clerk: Any, keyring: Any
) -> None:
    """Without a secret nothing can be judged: come back later, and it works once it is set."""
    stage, body = make_stage(secrets={}), clerk()
    headers = sign(body, prefix="svix")
    response = post(stage, body, headers)
    assert (response.status_code, error_of(response)) == (503, "NotConfigured")
    assert int(response.headers["Retry-After"]) > 0
    assert any(line["level"] == "ERROR" for line in stage.lines())
    stage.secrets.fresh["auth/clerk"] = keyring[:1]
    assert post(stage, body, headers).status_code == 200


def test_a_malformed_secret_never_turns_a_signature_down(
    make_stage: Any, sign: Any, clerk: Any, keyring: Any
) -> None:
    """Beside a mistyped secret the good one serves; who matches none is told 503, not 401."""
    stage, body = make_stage(secrets={"auth/clerk": ("whsec_oops", keyring[0])}), clerk()
    assert post(stage, body, sign(body, prefix="svix")).status_code == 200
    assert post(stage, body, sign(body, prefix="svix", secrets=keyring[1:2])).status_code == 503
    alone = make_stage(secrets={"auth/clerk": ("whsec_oops",)})
    assert post(alone, body, sign(body, prefix="svix")).status_code == 503
    for line in stage.lines() + alone.lines():
        assert "oops" not in json.dumps(line)


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (Transient("table", retry_after=2.2), "3"),
        (Transient("table"), "5"),
        (OutcomeUnknown("table"), "5"),
        (NoPermit("budget", retry_after=0), "5"),
        (Permanent("bucket is gone"), "60"),
        (Conflict("version is 3"), "60"),
    ],
)
def test_storage_that_does_not_answer_is_503(
    stage: Any, sign: Any, clerk: Any, error: Exception, retry_after: str
) -> None:
    """Nothing is acknowledged that was not stored: accepted events and dead letters alike."""
    stage.inbox.broken = error
    for body in (clerk(), clerk(id="not an id")):
        response = post(stage, body, sign(body, prefix="svix"))
        assert (response.status_code, error_of(response)) == (503, "Unavailable")
        assert response.headers["Retry-After"] == retry_after
        assert str(error) not in response.text
    stage.inbox.broken, stage.secrets.broken = None, error
    assert post(stage, clerk(), sign(clerk(), prefix="svix")).status_code == 503
    assert stage.inbox.empty


def test_a_bug_is_500_in_json_with_a_traceback_in_the_log_alone(
    stage: Any, sign: Any, clerk: Any, keyring: Any
) -> None:
    """An unexpected exception is no 200, tells the sender nothing, and is logged whole."""
    stage.inbox.broken = ZeroDivisionError("the inside story")
    response = post(stage, clerk(), sign(clerk(), prefix="svix"))
    assert (response.status_code, error_of(response)) == (500, "InternalError")
    assert "inside" not in response.text
    (line,) = [line for line in stage.lines() if line["level"] == "ERROR"]
    assert "the inside story" in line["exception"]
    assert line["trace"] == response.headers["d1fleet-trace"]


def test_refusals_tell_nothing_of_tenant_or_secret(
    stage: Any, sign: Any, clerk: Any, keyring: Any
) -> None:
    """No refusal repeats the tenant, the secret, or which part of the proof was wrong."""
    body = clerk(id="org_confidential")
    stale = sign(body, prefix="svix", at=1)
    forged = sign(b"x", prefix="svix")
    garbled = sign(body, prefix="svix") | {"svix-signature": "v1,AAAA"}
    answers = {post(stage, body, headers).text for headers in (stale, forged, garbled)}
    assert len(answers) == 1
    log = stage.log.getvalue()
    for text in (*answers, log):
        assert "org_confidential" not in text
        assert keyring[0].removeprefix("whsec_") not in text
    reasons = [line["reason"] for line in stage.lines()]
    assert reasons == ["too old", "no signature matches any of 1 secrets", "no v1 signature"]


def test_the_line_that_is_logged(stage: Any, sign: Any, clerk: Any, capsys: Any) -> None:
    """One line a request carries the facts an operator searches for; one count goes with it."""
    body = clerk()
    response = post(stage, body, sign(body, prefix="svix"))
    (line,) = stage.lines()
    facts = {
        "message": "webhook answered",
        "level": "INFO",
        "trace": response.headers["d1fleet-trace"],
        "provider": "clerk",
        "event_id": "msg_1",
        "message_id": "msg_1",
        "mode": "live",
        "type": "organization.created",
        "verb": "tenant.requested",
        "tenant_id": "org_1",
        "outcome": "accepted",
        "tenant_status": "activating",
        "secret_index": 0,
        "http_status": 200,
    }
    assert {key: line.get(key) for key in facts} == facts
    counts = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    (count,) = [metric for metric in counts if "Webhooks" in metric]
    assert (count["Webhooks"], count["provider"], count["outcome"]) == ([1.0], "clerk", "accepted")


def test_the_order_of_events_is_kept_for_the_use_case(
    stage: Any, sign: Callable[..., dict[str, str]], clerk: Callable[..., bytes]
) -> None:
    """A deletion before its creation arrives as two events with what is needed to order them."""
    gone = clerk("organization.deleted", deleted=True)
    made = clerk(created_at=1_789_000_000_000, updated_at=1_789_000_000_000)
    post(stage, gone, sign(gone, prefix="svix", message_id="msg_b"))
    post(stage, made, sign(made, prefix="svix", message_id="msg_a"))
    verbs = [(event.verb, event.occurred_at is None) for event in stage.inbox.events.values()]
    assert verbs == [("tenant.removed", True), ("tenant.requested", False)]
