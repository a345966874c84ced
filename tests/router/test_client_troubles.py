"""The admin client against every answer that a router, or a stranger at its address, can give."""

import inspect
import logging
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.errors import ControlPlaneError, Permanent, Transient
from shared.router import errors
from shared.router.answers import NOT_HTTP, NOT_REACHED, error_of
from shared.router.client import RouterClient
from tests.router.answering import (
    CALLS,
    SECRET,
    STATUS,
    Router,
    client_of,
    every_call,
    refusal,
)


@every_call
@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (refusal(401, "BadSignature"), errors.SignatureRefused, "the same on both sides"),
        (refusal(404, "NotFound"), errors.NoAdminDoor, "run `d1fleet init`"),
        (refusal(409, "WrongFleet"), errors.WrongFleet, "another fleet"),
        (refusal(409, "WrongOperation"), errors.RouterRefused, "WrongOperation"),
        (refusal(422, "BadArguments"), errors.RouterRefused, "BadArguments"),
        (refusal(413, "BodyTooLarge"), errors.RouterRefused, "BodyTooLarge"),
        (refusal(503, "BindingMissing"), errors.BindingMissing, "BindingMissing"),
        (refusal(503, "DirectoryUnavailable"), errors.RouterUnavailable, "Directory"),
        (refusal(500, "InternalError"), errors.RouterUnavailable, "InternalError"),
        (httpx.Response(404, html="<p>There is nothing here yet"), errors.RouterUnavailable, "404"),
        (httpx.Response(200, html="<p>Hello"), errors.RouterUnavailable, "no router of ours"),
        (httpx.Response(200, json=[1]), errors.RouterUnavailable, "no router of ours"),
        (httpx.Response(502, content=b""), errors.RouterUnavailable, "502"),
        (httpx.Response(301, headers={"location": "/"}), errors.BadRouterAddress, "ROUTER_URL"),
        (httpx.Response(200, json={}), errors.RouterUnavailable, "malformed"),
        (httpx.Response(200, json={"rows": [{}]}), errors.RouterUnavailable, "malformed"),
        (httpx.Response(200, content=b"[" * 200_000), errors.RouterUnavailable, "no router"),
    ],
)
def test_each_answer_has_a_meaning(
    op: str,
    answer: httpx.Response,
    kind: type[ControlPlaneError],
    says: str,
    client: RouterClient,
    router: Router,
) -> None:
    """Whatever comes back is one of our errors, and a permanent one says what to do."""
    router.will(answer)
    with pytest.raises(kind, match=says):
        CALLS[op](client)


@pytest.mark.parametrize("status", range(400, 600))
def test_every_status_has_a_meaning(status: int) -> None:
    """Trouble of the server passes, a refusal stays; a stranger's answer proves nothing."""
    ours = error_of("status", refusal(status, "Whatever"))
    passing = status >= 500 or status in {401, 429}
    assert isinstance(ours, Transient if passing else Permanent)
    assert isinstance(error_of("status", httpx.Response(status, html="<p>")), Transient)


@pytest.mark.parametrize(
    "kind",
    [v for v in vars(httpx).values() if inspect.isclass(v) and issubclass(v, Exception)],
)
def test_every_exception_of_httpx_is_caught(
    kind: type[Exception], client: RouterClient, router: Router
) -> None:
    """No exception of the HTTP library gets past the client."""
    assert issubclass(kind, (*NOT_HTTP, *NOT_REACHED))
    router.will(kind.__new__(kind))
    with pytest.raises(ControlPlaneError) as error:
        client.status()
    assert isinstance(error.value, Permanent if issubclass(kind, NOT_HTTP) else Transient)


def test_a_connection_that_broke_is_tried_once_more(client: RouterClient, router: Router) -> None:
    """An idle connection that died in a frozen function costs nobody a retry of the queue."""
    router.will(httpx.RemoteProtocolError("Server disconnected"), STATUS)
    assert client.status("acme-pool-1") is not None
    router.requests.clear()
    router.will(httpx.ReadTimeout("slow"))
    with pytest.raises(errors.RouterUnavailable):
        client.status("acme-pool-1")
    assert len(router.requests) == 1


@pytest.mark.parametrize("url", ["", "acme-pool.workers.dev", "ftp://x", "http://[::1"])
def test_an_address_that_is_none_says_so(url: str, router: Router) -> None:
    """A missing or broken address names the setting instead of being tried for ever."""
    client = RouterClient(
        httpx.Client(),
        url=url,
        script="acme-pool",
        fleet_uid="u",
        secret=lambda: SECRET,
        clock=lambda: datetime.now(UTC),
    )
    with pytest.raises(errors.BadRouterAddress, match="ROUTER_URL"):
        client.status()
    client._http.close()


@pytest.mark.parametrize(
    "secret", ["", "plain", "whsec_", "whsec_short", "whsec_!!!!", "Y2FuYXJ5LWNhbmFyeS1jYW5hcnk="]
)
def test_a_secret_that_is_none_is_named_and_not_shown(secret: str, router: Router) -> None:
    """A broken admin secret is a person's matter; its value stays out of the error."""
    client = client_of(router, secret)
    with pytest.raises(Permanent, match="router-admin") as error:
        client.status()
    assert error.value.__cause__ is None
    assert not secret or secret == "whsec_" or secret not in str(error.value)
    assert router.requests == []
    client._http.close()


@every_call
def test_the_secret_is_shown_nowhere(
    op: str, client: RouterClient, router: Router, caplog: Any
) -> None:
    """Neither requests nor errors nor logs hold the admin secret or its key."""
    caplog.set_level(logging.DEBUG)
    for answer in (refusal(401, "BadSignature"), refusal(503, "X"), httpx.ReadTimeout("slow")):
        router.will(answer)
        with pytest.raises(ControlPlaneError) as error:
            CALLS[op](client)
        request = router.requests[-1]
        texts = [str(error.value), repr(client), repr(request.headers), request.content.decode()]
        texts += [repr(vars(record)) for record in caplog.records]
        assert not any("canary" in text or SECRET[6:] in text for text in texts)
