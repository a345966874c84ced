"""The door of the auth providers: which requests it reads at all."""

import io
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhooks.asking import MIB, PATH, asked_raw, error_of, post, refused_in_order, refuses


@pytest.mark.parametrize("body", [b"", b"not json", b'{"type":"organization.crea', b'{"a":"\xff"}'])
def test_what_is_not_json_is_400_signed_or_not(stage: Any, sign: Any, body: bytes) -> None:
    """An unparseable body is refused before its signature is looked at, and not kept."""
    for headers in (sign(body, prefix="svix"), sign(b"other", prefix="svix")):
        response = post(stage, body, headers)
        assert (response.status_code, error_of(response)) == (400, "NotJson")
    assert stage.inbox.empty


def test_refusals_come_in_their_order(stage: Any, sign: Any, clerk: Any) -> None:
    """Mending a request's faults one by one walks through 404, 405, 415, 413, 400, 401 to 200."""
    good = clerk()
    signed, forged = sign(good, prefix="svix"), sign(b"other", prefix="svix")
    refused_in_order(stage, PATH, "/webhooks/auth/okta", good, signed, forged)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "PURGE"])
def test_only_post(stage: Any, method: str) -> None:
    """Every other method is 405 and says which one is right, in JSON (HEAD without the body)."""
    response = stage.client.open(PATH, method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, "POST")
    assert response.content_type == "application/json"
    if method != "HEAD":
        assert error_of(response) == "MethodNotAllowed"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/webhooks/auth", "/webhooks/auth/", "/webhooks/auth/okta", "/static/x"),
        *("//webhooks/auth/clerk", "/webhooks//auth/clerk", "/webhooks/auth/clerk/x"),
        *("/webhooks/auth/CLERK", "/webhooks/auth/%2e%2e", "/webhooks/auth/clerk%00"),
        "/webhooks/billing/clerk",
    ],
)
def test_every_other_path_is_404_in_json_and_no_redirect(stage: Any, path: str) -> None:
    """Unknown providers and paths are 404, whatever the method."""
    for method in ("GET", "POST", "OPTIONS"):
        response = stage.client.open(path, method=method)
        assert (response.status_code, bool(error_of(response))) == (404, True)


def test_a_slash_at_the_end_is_no_redirect(stage: Any, sign: Any, clerk: Any) -> None:
    """A trailing slash is served, since a redirect would count as a failed delivery."""
    body = clerk()
    assert post(stage, body, sign(body, prefix="svix"), PATH + "/").status_code == 200


def test_a_provider_that_was_not_chosen_is_unknown(make_stage: Any, sign: Any) -> None:
    """Only what AUTH_PROVIDERS names has a door."""
    stage = make_stage(providers=("standard",))
    assert error_of(post(stage, b"{}", sign(b"{}", prefix="svix"))) == "UnknownProvider"


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/cloudevents+json", 200),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/jsonp", 415),
        ("+json", 415),
        ("", 415),
    ],
)
def test_content_types(stage: Any, sign: Any, clerk: Any, kind: str, status: int) -> None:
    """JSON by any of its names is read, everything else is 415."""
    body = clerk()
    response = post(stage, body, sign(body, prefix="svix") | {"content-type": kind})
    assert response.status_code == status
    assert stage.inbox.empty == (status == 415)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "identity, gzip", "deflate"])
def test_compressed_bodies_are_415(stage: Any, sign: Any, clerk: Any, encoding: str) -> None:
    """A compressed body is refused, even one that claims to be well signed."""
    body = clerk()
    headers = sign(body, prefix="svix") | {"content-encoding": encoding}
    response = post(stage, body, headers)
    assert (response.status_code, error_of(response)) == (415, "UnsupportedMediaType")


def padded(body: bytes, size: int) -> bytes:
    return body + b" " * (size - len(body))


class Trickle(io.BytesIO):
    """Give a chunked body in small pieces and count how much was taken."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(min(size if size and size > 0 else 4096, 4096))
        self.taken += len(piece)
        return piece


@pytest.mark.parametrize(("size", "status"), [(MIB, 200), (MIB + 1, 413)])
def test_one_mebibyte_is_the_limit(
    stage: Any, sign: Any, clerk: Any, size: int, status: int
) -> None:
    """A body of exactly 1 MiB is taken, one byte more is not; with a length and chunked alike."""
    body = padded(clerk(), size)
    headers = sign(body, prefix="svix")
    assert post(stage, body, headers).status_code == status
    chunked = stage.client.open(
        PATH,
        method="POST",
        headers=headers,
        input_stream=Trickle(body),
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert chunked.status_code == status


def test_an_endless_body_is_not_read_to_its_end(stage: Any, sign: Any) -> None:
    """Reading stops one byte past the limit, whatever the length header is silent about."""
    stream = Trickle(bytes(8 * MIB))
    response = stage.client.open(
        PATH,
        method="POST",
        headers=sign(b"", prefix="svix"),
        input_stream=stream,
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    assert (response.status_code, error_of(response)) == (413, "PayloadTooLarge")
    assert stream.taken == MIB + 1


def test_a_body_cut_short_is_400(stage: Any, sign: Any, clerk: Any) -> None:
    """A sender that hangs up in the middle leaves nothing behind."""
    body = clerk()
    response = stage.client.open(
        PATH,
        method="POST",
        headers=sign(body, prefix="svix"),
        input_stream=io.BytesIO(body),
        environ_overrides={"CONTENT_LENGTH": str(len(body) + 1)},
    )
    assert (response.status_code, bool(error_of(response))) == (400, True)
    assert stage.inbox.empty


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(
    method=st.sampled_from(["POST", "GET", "OPTIONS"]),
    path=st.sampled_from(["clerk", "workos", "auth0", "supabase", "standard", "x"]),
    headers=st.dictionaries(
        st.sampled_from(
            [
                *("host", "content-type", "content-length", "content-encoding", "expect"),
                *("webhook-id", "webhook-timestamp", "webhook-signature", "svix-id", "range"),
                *("workos-signature", "authorization", "cookie", "x-forwarded-host"),
            ]
        ),
        st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=40),
        max_size=6,
    ),
    body=st.binary(max_size=64),
)
def test_no_stranger_gets_past_or_breaks_the_door(
    stage: Any, method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    """Arbitrary requests are refused in JSON with a 4xx, and nothing is stored."""
    response = asked_raw(stage, f"/webhooks/auth/{path}", method, headers, body)
    assert refuses(response)
    assert stage.inbox.empty
