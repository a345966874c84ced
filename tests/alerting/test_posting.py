"""One POST: what passes, what does not, and where it must never go."""

import socket
from collections.abc import Callable
from datetime import timedelta
from email.utils import format_datetime

import pytest

from shared.alerting.addresses import public_addresses
from shared.alerting.posting import Poster, Refused
from shared.errors import OutcomeUnknown, Permanent, Transient
from tests.alerting.conftest import NOW
from tests.support.receiver import Answer, Receiver

SECRET_PATH = "/services/T000/B000/secret-of-the-hook"

PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "192.0.0.192",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2001:db8::1",
]


def test_it_is_posted_as_it_is(receiver: Receiver, poster: Poster) -> None:
    """Body, headers and path arrive; the host is the name's, with its port."""
    answer = poster.post(receiver.url("/a?b=c", host="localhost"), b"{}", {"X-Own": "1"})
    assert (answer.status, answer.text) == (200, "ok")
    (posted,) = receiver.posted
    assert (posted.path, posted.body, posted.headers["x-own"]) == ("/a?b=c", b"{}", "1")
    assert posted.headers["host"] == f"localhost:{receiver.port}"


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    """Loopback, private, link-local, metadata, shared, multicast, and detours to them."""
    with pytest.raises(Permanent, match="private address"):
        public_addresses("x.example", 443, allow_private=False, resolve=lambda *_: [address])
    found = public_addresses("x.example", 443, allow_private=True, resolve=lambda *_: [address])
    assert found == [address]


def test_public_addresses_pass() -> None:
    """Both families."""
    both = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]
    assert public_addresses("x", 443, allow_private=False, resolve=lambda *_: both) == both


def test_a_name_with_one_private_address_is_not_trusted() -> None:
    """Which of them would be taken is nobody's choice."""
    mixed = ["93.184.215.14", "127.0.0.1"]
    with pytest.raises(Permanent, match="private address"):
        public_addresses("x", 443, allow_private=False, resolve=lambda *_: mixed)


def test_a_name_of_the_loopback_is_refused(
    receiver: Receiver, make_poster: Callable[..., Poster]
) -> None:
    """`localhost` and a public-looking name that resolves to 127.0.0.1 reach nobody."""
    guarded = make_poster(allow_private=False)
    with pytest.raises(Permanent, match="private address"):
        guarded.post(f"https://localhost:{receiver.port}/", b"", {})
    rebound = make_poster(allow_private=False, resolve=lambda *_: ["127.0.0.1"])
    with pytest.raises(Permanent, match="private address"):
        rebound.post(f"https://hooks.example:{receiver.port}/", b"", {})
    assert receiver.posted == []


def test_it_connects_to_the_very_address_that_was_judged(
    receiver: Receiver, make_poster: Callable[..., Poster]
) -> None:
    """The name is resolved once: a second answer, of another address, is never asked for."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    poster = make_poster(resolve=resolve)
    url = receiver.url("/", host="only-our-resolver-knows.example")
    assert poster.post(url, b"", {}).status == 200
    assert asked == ["only-our-resolver-knows.example"]


def test_the_next_address_is_tried(receiver: Receiver, make_poster: Callable[..., Poster]) -> None:
    """A name may have an address at which nobody listens."""
    poster = make_poster(resolve=lambda *_: ["127.0.0.2", "127.0.0.1"])
    assert poster.post(receiver.url("/", host="two.example"), b"", {}).status == 200
    assert len(receiver.posted) == 1


def test_http_needs_a_word(make_poster: Callable[..., Poster]) -> None:
    """Plain http is refused unless private receivers are allowed."""
    with pytest.raises(Permanent, match="https://"):
        make_poster(allow_private=False).post("http://hooks.example/", b"", {})


@pytest.mark.parametrize(
    "url",
    ["", "hooks.example/s3cret", "ftp://x.example/s3cret", "https:///s3cret", "http://x:s3cret/"],
)
def test_what_is_no_url_is_refused(poster: Poster, url: str) -> None:
    """The reason does not quote it: it may be a secret."""
    with pytest.raises(Permanent, match="its URL") as caught:
        poster.post(url, b"", {})
    assert "s3cret" not in str(caught.value)


def test_redirects_are_not_followed(receiver: Receiver, poster: Poster) -> None:
    """A receiver can't send us to the metadata service."""
    receiver.answers["/"] = [
        Answer(status, headers={"Location": "http://169.254.169.254/latest/meta-data/"})
        for status in (301, 302, 307, 308)
    ]
    for status in (301, 302, 307, 308):
        with pytest.raises(Permanent, match=f"{status}, and redirects are not followed"):
            poster.post(receiver.url(), b"", {})
    assert len(receiver.posted) == 4


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_passes(receiver: Receiver, poster: Poster, status: int) -> None:
    """Busy and broken receivers are asked again."""
    receiver.answers["/"] = [Answer(status)]
    with pytest.raises(Transient, match=str(status)) as caught:
        poster.post(receiver.url(), b"", {})
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999", 3600.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
    ],
)
def test_retry_after_is_understood(
    receiver: Receiver, poster: Poster, header: str, seconds: float | None
) -> None:
    """Seconds or a date, an hour at most; nonsense is as if it were not there."""
    receiver.answers["/"] = [Answer(429, headers={"Retry-After": header})]
    with pytest.raises(Transient) as caught:
        poster.post(receiver.url(), b"", {})
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_what_never_passes(receiver: Receiver, poster: Poster, status: int) -> None:
    """The channel may read what was answered; the reason does not quote it."""
    receiver.answers[SECRET_PATH] = [Answer(status, b"no_service")]
    with pytest.raises(Refused) as caught:
        poster.post(receiver.url(SECRET_PATH), b"", {})
    assert (caught.value.text, caught.value.status) == ("no_service", status)
    assert caught.value.reason == f"it answered {status}"


def test_nobody_listens(poster: Poster) -> None:
    """A refused connection passes, and nothing says where it was."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Transient, match="can't be reached: ConnectError") as caught:
        poster.post(f"http://127.0.0.1:{port}{SECRET_PATH}", b"", {})
    assert not isinstance(caught.value, OutcomeUnknown)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_no_answer_leaves_open_whether_it_was_taken(
    receiver: Receiver, make_poster: Callable[..., Poster]
) -> None:
    """It was sent: it may come twice, under one id."""
    receiver.answers["/"] = [Answer(hang=True)]
    with pytest.raises(OutcomeUnknown, match="no answer in time"):
        make_poster(patience=0.2).post(receiver.url(), b"", {})
    assert len(receiver.posted) == 1


def test_a_name_that_nobody_knows_may_be_known_later(make_poster: Callable[..., Poster]) -> None:
    """The resolver's failure passes."""
    with pytest.raises(Transient, match="can't be resolved"):
        make_poster().post("http://no-such-name.invalid/", b"", {})


def test_a_long_answer_is_not_read_to_its_end(receiver: Receiver, poster: Poster) -> None:
    """A receiver can't fill the function's memory."""
    receiver.answers["/"] = [Answer(200, b"x" * 5_000_000)]
    assert len(poster.post(receiver.url(), b"", {}).text) <= 8192
