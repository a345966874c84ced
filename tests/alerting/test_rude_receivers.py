"""Receivers that nobody should be: slow for ever, gone half-way, with a stranger's certificate."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from shared.alerting.posting import Poster, open_client
from shared.errors import OutcomeUnknown, Transient

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
SOON = 0.3
Manner = Callable[[socket.socket, threading.Event], None]


@contextmanager
def listening(manner: Manner, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[int]]]:
    """Yield a port whose connections are treated so, and a list with the number of each."""
    over, seen = threading.Event(), list[int]()

    def serve() -> None:
        while True:
            try:
                plain, _ = server.accept()
            except OSError:
                return
            if over.is_set():
                plain.close()
                return
            seen.append(len(seen))
            with suppress(OSError), plain, wrapped(plain) as connection:
                read = b""
                while not read.endswith(b"\r\n\r\n{}") and (piece := connection.recv(65_536)):
                    read += piece
                if read:
                    manner(connection, over)

    def wrapped(plain: socket.socket) -> socket.socket:
        return plain if tls is None else tls.wrap_socket(plain, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        port = int(server.getsockname()[1])
        try:
            yield port, seen
        finally:
            over.set()
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
            thread.join()


def poster(http: httpx.Client, patience: float = SOON) -> Poster:
    """Return a poster that finds every name on this machine."""
    return Poster(
        http, lambda: NOW, allow_private=True, resolve=lambda *_: ["127.0.0.1"], patience=patience
    )


def drip(connection: socket.socket, over: threading.Event) -> None:
    """Send a byte now and then, each in time for the next wait, for long enough to notice."""
    for _ in range(100):
        if over.wait(SOON / 6):
            return
        connection.sendall(b"x")


def test_an_answer_that_drips_is_given_up() -> None:
    """Headers that never end take no longer than those that never begin."""

    def manner(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        drip(connection, over)

    with listening(manner) as (port, _), open_client() as http:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="no answer in time"):
            poster(http).post(f"http://slow.example:{port}/", b"{}", {})
        assert time.monotonic() - began < 10 * SOON


@pytest.mark.parametrize("rest", [drip, lambda *_: None])
def test_the_status_is_the_answer(rest: Manner) -> None:
    """A body that drips, or breaks off, does not make an alert come twice: it was taken."""

    def manner(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(HEAD + b"taken")
        rest(connection, over)

    with listening(manner) as (port, _), open_client() as http:
        began = time.monotonic()
        answer = poster(http).post(f"http://slow.example:{port}/", b"{}", {})
        assert time.monotonic() - began < 10 * SOON
    assert (answer.status, answer.text[:5]) == (200, "taken")


def test_a_connection_that_breaks_leaves_open_whether_it_was_taken() -> None:
    """The request was read, and no answer came."""
    with (
        listening(lambda *_: None) as (port, _),
        open_client() as http,
        pytest.raises(OutcomeUnknown, match="no answer: RemoteProtocolError"),
    ):
        poster(http).post(f"http://gone.example:{port}/", b"{}", {})


def test_no_thread_outlives_an_exchange() -> None:
    """What watches the time ends with what it watches."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    with (
        listening(lambda connection, _: connection.sendall(answer)) as (port, _),
        open_client() as http,
    ):
        before = threading.active_count()
        for _ in range(3):
            assert poster(http).post(f"http://good.example:{port}/", b"{}", {}).text == "ok"
        assert threading.active_count() == before


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of `hooks.example` alone, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    made, key = folder / "certificate.pem", folder / "key.pem"
    name = ["-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    out = ["-out", str(made), "-keyout", str(key)]
    subprocess.run(["openssl", "req", "-x509", *kind, *name, *out], check=True, capture_output=True)
    return made, key


def test_the_certificate_must_be_the_names(certificate: tuple[Path, Path]) -> None:
    """The connection goes to an address, and is still proven to be of the name.

    Two names at one address share no connection, or one would be believed to be the other.
    """
    made, key = certificate
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made, key)
    asked = list[str]()

    def manner(connection: socket.socket, over: threading.Event) -> None:
        asked.append("answered")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    trusting = ssl.create_default_context(cafile=str(made))
    with listening(manner, tls) as (port, connections):
        limits = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(verify=trusting, limits=limits, trust_env=False) as http:
            post = poster(http, patience=5).post
            assert post(f"https://hooks.example:{port}/", b"{}", {}).text == "ok"
            with pytest.raises(Transient, match="it can't be reached"):
                post(f"https://other.example:{port}/", b"{}", {})
            assert post(f"https://hooks.example:{port}/", b"{}", {}).text == "ok"
    assert (len(asked), len(connections)) == (2, 3)


def test_a_stranger_is_not_trusted(certificate: tuple[Path, Path]) -> None:
    """What the machine's own certificates do not vouch for gets nothing."""
    made, key = certificate
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(made, key)
    got = list[bytes]()

    def manner(connection: socket.socket, over: threading.Event) -> None:
        got.append(b"a request")

    with (
        listening(manner, tls) as (port, _),
        open_client() as http,
        pytest.raises(Transient, match="it can't be reached"),
    ):
        poster(http, patience=5).post(f"https://hooks.example:{port}/", b"{}", {})
    assert got == []


def test_each_post_has_a_connection_of_its_own() -> None:
    """One that was kept would be broken when the frozen function wakes."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def manner(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(answer)
        connection.settimeout(5)
        assert connection.recv(10) == b""  # the other side ends it

    with listening(manner) as (port, connections), open_client() as http:
        for _ in range(2):
            poster(http).post(f"http://good.example:{port}/", b"{}", {})
    assert connections == [0, 1]
