"""Verification: judged by the providers' vectors and their own libraries."""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
import standardwebhooks
import stripe
import svix
from hypothesis import given
from hypothesis import strategies as st
from workos.webhooks._verification import verify_header

from shared.webhooks.families import (
    BadSignature,
    BareHmac,
    Family,
    MissingHeaders,
    StampedHeader,
    StandardWebhooks,
    StaticCredential,
)

STRIPE = StampedHeader("stripe-signature")
PADDLE = StampedHeader(
    "paddle-signature", time_key="ts", signature_key="h1", separator=";", joiner=":"
)
WORKOS = StampedHeader("workos-signature", milliseconds=True, tolerance=180)
SVIX = StandardWebhooks(prefixes=("svix", "webhook"))
FAMILIES: dict[str, Family] = {
    "standard_webhooks": StandardWebhooks(),
    "polar": StandardWebhooks(encoding="utf8"),
    "supabase_auth_hook": StandardWebhooks(),
    "stripe": STRIPE,
    "paddle": PADDLE,
    "workos": WORKOS,
    "auth0_event_stream": StaticCredential(("bearer", "basic")),
}
B64_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT_SECRET = "4sHjxyWqDBmtsOgYc4oLzd5Zr"


def accepts(
    family: Family, secrets: tuple[str, ...], headers: dict[str, str], body: bytes, now: float
) -> bool:
    try:
        family.verify(family.keys(secrets), headers, body, now)
    except BadSignature:
        return False
    return True


def test_every_vector_is_judged_as_it_says(provider: str, vector: dict[str, Any]) -> None:
    """Every signed vector gets its verdict at its frozen time."""
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    body = vector["body"].encode()
    assert hashlib.sha256(body).hexdigest() == vector["body_sha256"]
    verdict = accepts(
        FAMILIES[provider], tuple(vector["secrets"]), headers, body, float(vector["now"])
    )
    assert verdict == (vector["expect"]["verify"] == "accept")


def test_a_missing_header_is_told_apart(provider: str, vector: dict[str, Any]) -> None:
    """Whatever vector loses one of its signing headers is missing headers, not badly signed."""
    family = FAMILIES[provider]
    keys = family.keys(vector["secrets"])
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    signing = [n for n in headers if "webhook-" in n or n.endswith(("signature", "authorization"))]
    for name in signing:
        for lacking in ({n: v for n, v in headers.items() if n != name}, headers | {name: "  "}):
            with pytest.raises(MissingHeaders):
                family.verify(keys, lacking, vector["body"].encode(), vector["now"])
            with pytest.raises(MissingHeaders):
                family.require(lacking)


ids = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)


@given(message_id=ids, text=st.text(max_size=300), age=st.integers(-300, 300))
def test_what_the_official_libraries_sign_is_accepted(message_id: str, text: str, age: int) -> None:
    """Signatures of standardwebhooks and svix verify, whatever the id, the body and the age."""
    body = text.encode("utf-8", "replace")
    at = 1_790_000_000 - age
    moment = datetime.fromtimestamp(at, UTC)
    for prefix, library in (("webhook", standardwebhooks.Webhook), ("svix", svix.Webhook)):
        signature = library(B64_SECRET).sign(message_id, moment, body.decode())
        headers = {
            f"{prefix}-id": message_id,
            f"{prefix}-timestamp": str(at),
            f"{prefix}-signature": signature,
        }
        assert accepts(SVIX, (B64_SECRET,), headers, body, 1_790_000_000)


@given(data=st.data(), body=st.binary(max_size=200))
def test_any_change_of_what_is_signed_is_refused(data: st.DataObject, body: bytes) -> None:
    """One changed character of id, time, signature or body makes a request badly signed."""
    at = 1_790_000_000
    key = base64.b64decode(B64_SECRET.removeprefix("whsec_"))
    mac = hmac.digest(key, f"msg_1.{at}.".encode() + body, hashlib.sha256)
    parts = ["msg_1", str(at), "v1," + base64.b64encode(mac).decode()]
    where = data.draw(st.integers(0, 3))
    if where == 3:
        changed = data.draw(st.binary(max_size=210).filter(lambda b: b != body))
    else:
        changed = body
        place = data.draw(st.integers(0, len(parts[where]) - 1))
        letter = data.draw(
            st.sampled_from("abcXYZ019_+/=").filter(lambda c: c != parts[where][place])
        )
        parts[where] = parts[where][:place] + letter + parts[where][place + 1 :]
    headers = dict(
        zip(("webhook-id", "webhook-timestamp", "webhook-signature"), parts, strict=True)
    )
    assert not accepts(StandardWebhooks(), (B64_SECRET,), headers, changed, at)


def workos_header(at_ms: int, body: bytes, secret: str) -> str:
    return (
        f"t={at_ms}, v1={hmac.digest(secret.encode(), f'{at_ms}.'.encode() + body, 'sha256').hex()}"
    )


@given(age=st.integers(-400, 400).filter(lambda a: abs(abs(a) - 180) > 5), right=st.booleans())
def test_workos_own_library_agrees(age: int, right: bool) -> None:
    """Our verdict is that of the workos library for every age and key, in milliseconds."""
    now = time.time()
    body = b'{"event":"organization.created"}'
    header = workos_header(int((now - age) * 1000), body, TEXT_SECRET if right else "another")
    try:
        verify_header(event_body=body, event_signature=header, secret=TEXT_SECRET, tolerance=180)
        theirs = True
    except ValueError:
        theirs = False
    assert accepts(WORKOS, (TEXT_SECRET,), {"workos-signature": header}, body, now) == theirs


@given(age=st.integers(0, 600).filter(lambda a: abs(a - 300) > 5), right=st.booleans())
def test_stripes_own_library_agrees_about_the_past(age: int, right: bool) -> None:
    """Our verdict is that of the stripe library, except for the future, which it never refuses."""
    now = time.time()
    at, body = int(now) - age, '{"id":"evt_1"}'
    secret = "whsec_test_secret" if right else "whsec_another"
    mac = hmac.digest(secret.encode(), f"{at}.{body}".encode(), "sha256").hex()
    header = f"t={at},v0={'0' * 64},v1={mac}"
    try:
        stripe.WebhookSignature.verify_header(body, header, "whsec_test_secret", tolerance=300)
        theirs = True
    except stripe.SignatureVerificationError:
        theirs = False
    headers = {"stripe-signature": header}
    assert accepts(STRIPE, ("whsec_test_secret",), headers, body.encode(), now) == theirs
    later = int(now) + 301
    mac = hmac.digest(secret.encode(), f"{later}.{body}".encode(), "sha256").hex()
    future = {"stripe-signature": f"t={later},v1={mac}"}
    assert not accepts(STRIPE, (secret,), future, body.encode(), now)


hostile = st.one_of(
    st.text(max_size=120),
    st.from_regex(r"(t|ts|v1|h1|v0)=.{0,70}([,; ]+(t|ts|v1|h1)=.{0,70}){0,4}", fullmatch=True),
    st.from_regex(r"(v1,|v1a,|v2,|Bearer |Basic |bearer\t)?[\x00-\xff]{0,80}", fullmatch=True),
    st.sampled_from(["1790000000", "1_790_000_000", " 1790000000", "1790000000.5", "९" * 10, "-1"]),
    st.integers(0, 10**14).map(str),
)


@given(
    headers=st.dictionaries(
        st.sampled_from(
            [
                *(
                    f"{p}-{n}"
                    for p in ("webhook", "svix")
                    for n in ("id", "timestamp", "signature")
                ),
                *("stripe-signature", "paddle-signature", "workos-signature"),
                *("authorization", "x-signature"),
            ]
        ),
        hostile,
    ),
    body=st.binary(max_size=64),
    family=st.sampled_from([*FAMILIES.values(), SVIX, BareHmac("x-signature")]),
    now=st.floats(0, 1e11),
)
def test_no_stranger_can_raise_anything_but_our_error(
    headers: dict[str, str], body: bytes, family: Family, now: float
) -> None:
    """Hostile headers and bodies end in `BadSignature`, never in another exception."""
    keys = replace(family.keys((B64_SECRET,)))
    with pytest.raises(BadSignature):
        family.verify(keys, headers, body, now)


@given(secret=st.text(max_size=60), family=st.sampled_from(list(FAMILIES.values())))
def test_no_configured_text_can_raise(secret: str, family: Family) -> None:
    """Any text as a secret makes a key or is called malformed; its `repr` shows neither."""
    keys = family.keys((secret,))
    assert (len(keys.usable), len(keys.malformed)) in {(1, 0), (0, 1)}
    assert repr(keys) in {"Keys(usable=1, malformed=())", "Keys(usable=0, malformed=(0,))"}


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_c2hvcnQ=",
        "v1,v1," + B64_SECRET,
        "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La-_Sw",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
        "whsec_" + base64.b64encode(bytes(76)).decode(),
        "",
    ],
)
def test_a_mistyped_secret_is_not_some_other_key(secret: str) -> None:
    """A base64 secret with anything wrong about it is malformed; beside it the good one serves."""
    keys = StandardWebhooks().keys((secret, B64_SECRET))
    assert keys.malformed == (0,)
    assert [index for index, _ in keys.usable] == [1]


def test_a_fourth_secret_is_a_mistake() -> None:
    """A rotation needs three at most; the rest is called malformed."""
    assert StandardWebhooks().keys((B64_SECRET,) * 4).malformed == (3,)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_the_matching_secret_is_reported(
    place: int, keyring: tuple[str, ...], sign: Callable[..., dict[str, str]], now: int
) -> None:
    """Of three secrets each verifies, and the answer says which one it was."""
    family = StandardWebhooks()
    verified = family.verify(
        family.keys(keyring), sign(b"{}", secrets=(keyring[place],)), b"{}", now
    )
    assert (verified.secret_index, verified.message_id, verified.sent_at) == (place, "msg_1", now)


def test_headers_of_one_prefix_only(sign: Callable[..., dict[str, str]], now: int) -> None:
    """An id under one prefix and a signature under the other do not make one message."""
    headers = sign(b"{}", prefix="svix")
    headers["webhook-id"] = headers.pop("svix-id")
    with pytest.raises(MissingHeaders):
        StandardWebhooks().verify(StandardWebhooks().keys(()), headers, b"{}", now)


@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_bare_hmac(encoding: Any) -> None:
    """A bare HMAC verifies in its encoding, with any of two secrets, and for no other body."""
    family = BareHmac("x-signature", encoding)
    mac = hmac.digest(b"secret-2", b"body", "sha256")
    text = mac.hex() if encoding == "hex" else base64.b64encode(mac).decode()
    keys = family.keys(("secret-1", "secret-2"))
    assert family.verify(keys, {"x-signature": text}, b"body", 0).secret_index == 1
    assert not accepts(family, ("secret-2",), {"x-signature": text}, b"Body", 0)
    assert not accepts(family, ("secret-2",), {"x-signature": text[:-1]}, b"body", 0)


@pytest.mark.parametrize(
    ("header", "good"),
    [
        ("Bearer auth0-static-token", True),
        ("bearer  auth0-static-token", True),
        ("Basic " + base64.b64encode(b"auth0-static-token").decode(), True),
        ("Basic auth0-static-token", False),
        ("Token auth0-static-token", False),
        ("Bearer auth0-static-tokem", False),
        ("Bearer", False),
        ("auth0-static-token", False),
        ("Bearer auth0-static-tokén", False),
    ],
)
def test_a_static_credential(header: str, good: bool) -> None:
    """Bearer and basic credentials are compared as a whole, in their own scheme."""
    family = StaticCredential(("bearer", "basic"))
    assert accepts(family, ("auth0-static-token",), {"authorization": header}, b"", 0) == good


def test_two_time_stamps_are_refused() -> None:
    """A header that signs one time and shows another is not interpreted."""
    mac = hmac.digest(b"whsec_test_secret", b"1790000000.{}", "sha256").hex()
    header = {"stripe-signature": f"t=1790000000,t=1790000001,v1={mac}"}
    assert not accepts(STRIPE, ("whsec_test_secret",), header, b"{}", 1790000000)
