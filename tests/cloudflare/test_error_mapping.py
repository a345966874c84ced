"""Everything that can come back instead of a result has exactly one meaning."""

import inspect
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.cloudflare import errors
from shared.cloudflare.answers import (
    LOST,
    NOT_HTTP,
    NOTHING_SENT,
    Effect,
    from_exception,
    judged,
    rate_limit,
    refusal,
    retry_after,
)
from shared.cloudflare.errors import CloudflareError, Facts
from shared.errors import Conflict, OutcomeUnknown, Permanent, Transient

HTTPX_EXCEPTIONS = sorted(
    (
        value
        for value in vars(httpx).values()
        if inspect.isclass(value) and issubclass(value, Exception)
    ),
    key=lambda value: value.__name__,
)
PERMANENT_STATUSES = set(range(400, 500)) - {408, 409, 412, 423, 425, 429}
NOW = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)


def judge(response: httpx.Response, effect: Effect) -> Any:
    return judged(response, "do it", effect, now=NOW, hide=lambda text: text)


def make(kind: type[Exception]) -> Exception:
    """Return an instance, without the arguments that only httpx itself can give."""
    return kind.__new__(kind)


@pytest.mark.parametrize("kind", HTTPX_EXCEPTIONS)
def test_every_exception_of_httpx_is_caught(kind: type[Exception]) -> None:
    """No exception of the HTTP library, present or future, gets past the client."""
    assert issubclass(kind, (*NOT_HTTP, *LOST))


@pytest.mark.parametrize("kind", HTTPX_EXCEPTIONS)
def test_every_exception_of_httpx_has_a_meaning(kind: type[Exception]) -> None:
    """A write may only be called unsent if it was; everything else leaves it unsettled."""
    read = from_exception("do it", make(kind), Effect.READ)
    write = from_exception("do it", make(kind), Effect.WRITE)
    if issubclass(kind, NOT_HTTP):
        assert type(read) is type(write) is errors.BadAddress
    elif issubclass(kind, NOTHING_SENT):
        assert type(read) is type(write) is errors.NotReached
    else:
        assert isinstance(read, Transient)
        assert not isinstance(read, OutcomeUnknown)
        assert isinstance(write, OutcomeUnknown)


def test_only_what_comes_before_sending_counts_as_not_sent() -> None:
    """The list of exceptions that prove that nothing was sent is known by heart."""
    assert {kind.__name__ for kind in NOTHING_SENT} == {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "ProxyError",
    }


@pytest.mark.parametrize("status", range(400, 600))
@pytest.mark.parametrize("effect", Effect)
def test_every_status_has_a_meaning(status: int, effect: Effect) -> None:
    """Without a known code the status decides, for reads and for writes."""
    error = refusal(Facts("do it", status, 1), effect)
    if status in PERMANENT_STATUSES:
        assert isinstance(error, Permanent)
    elif status in {409, 412}:
        assert isinstance(error, Conflict)
    else:
        assert isinstance(error, Transient)
    unsettled = status >= 500 or status == 408
    assert isinstance(error, OutcomeUnknown) is (unsettled and effect is Effect.WRITE)


@pytest.mark.parametrize("status", [*range(200, 204), *range(300, 309), *range(400, 600)])
@pytest.mark.parametrize("effect", Effect)
def test_an_answer_that_is_no_json_says_nothing(status: int, effect: Effect) -> None:
    """A page of HTML, whatever its status, is no word of the API: the token may be fine."""
    page = httpx.Response(status, html="<h1>Attention Required!</h1>", headers={"cf-ray": "r"})
    with pytest.raises(CloudflareError) as error:
        judge(page, effect)
    assert isinstance(error.value, Transient)
    assert isinstance(error.value, OutcomeUnknown) is (effect is Effect.WRITE and status != 429)
    assert error.value.facts.cf_ray == "r"


def test_a_challenge_is_named() -> None:
    """When the firewall stands before the API, the error says so."""
    page = httpx.Response(403, html="<p>", headers={"cf-mitigated": "challenge"})
    with pytest.raises(errors.Unavailable, match="cf-mitigated challenge"):
        judge(page, Effect.READ)


@pytest.mark.parametrize(
    ("code", "message", "kind", "policy"),
    [
        (7502, "exists", errors.NameTaken, Conflict),
        (7404, "not found", errors.NotFound, Conflict),
        (7406, "System limit reached", errors.AccountFull, Permanent),
        (7403, "not authorized", errors.WrongAccount, Permanent),
        (7003, "Could not route", errors.WrongAccount, Permanent),
        (10214, "not deployed", errors.VersionNotDeployed, Transient),
        (10215, "not deployed", errors.VersionNotDeployed, Transient),
        (10181, "D1 binding 'DB' references", errors.BoundDatabaseMissing, Transient),
        (
            10021,
            "binding DB of type d1 must have a database that already exists",
            errors.BoundDatabaseMissing,
            Transient,
        ),
        (
            10021,
            "binding DB of type d1 must have a valid `id` specified",
            errors.BoundDatabaseMissing,
            Transient,
        ),
        (10021, "failed to generate. Please try again later", errors.Unavailable, Transient),
        (10021, "binding name is taken", errors.InvalidBinding, Permanent),
        (10057, "inherit", errors.InheritUnresolved, Conflict),
        (10144, "no service", errors.BoundServiceMissing, Transient),
        (10142, "bound", errors.InUse, Conflict),
        (10007, "no such Worker", errors.WorkerNotFound, Conflict),
        (10090, "no such Worker", errors.WorkerNotFound, Conflict),
        (10063, "no subdomain", errors.NoWorkersSubdomain, Permanent),
        (10018, "etag", errors.Contested, Conflict),
        (10000, "Authentication error", errors.BadToken, Permanent),
        (1000, "Invalid API Token", errors.BadToken, Permanent),
        (9106, "Missing headers", errors.BadToken, Permanent),
        (9109, "Invalid access token", errors.BadToken, Permanent),
        (10015, "not authorised", errors.BadToken, Permanent),
        (971, "throttling", errors.RateLimited, Transient),
        (7500, 'near "FOO": syntax error at offset 0: SQLITE_ERROR', errors.SqlError, Permanent),
        (7500, "no such table: x: SQLITE_ERROR", errors.SqlError, Permanent),
        (7500, "Exceeded maximum DB size", errors.DatabaseFull, Permanent),
        (7500, "database is locked: SQLITE_BUSY", errors.Overloaded, Transient),
        (7500, "D1 DB is overloaded. Too many requests queued.", errors.Overloaded, Transient),
        (7500, "exceeded D1's free tier daily row read limit", errors.QuotaSpent, Transient),
        (7500, "Network connection lost.", errors.Unsettled, OutcomeUnknown),
        (10013, "internal", errors.Unsettled, OutcomeUnknown),
        (10002, "internal", errors.Unsettled, OutcomeUnknown),
        (0, "unknown", errors.Unsettled, OutcomeUnknown),
        (7400, "Invalid property", errors.Rejected, Permanent),
        (10201, "Missing settings part", errors.Rejected, Permanent),
    ],
)
def test_codes_decide(
    code: int, message: str, kind: type[CloudflareError], policy: type[Exception]
) -> None:
    """Each code that Cloudflare is known to send has its type, and the type its policy."""
    error = refusal(Facts("do it", 400, code, message), Effect.WRITE)
    assert type(error) is kind
    assert isinstance(error, policy)


def test_a_code_counts_at_any_status() -> None:
    """Statuses of some codes are documented nowhere: 7502 means taken even at 500 or 200."""
    for status in (200, 400, 409, 500):
        error = refusal(Facts("do it", status, 7502), Effect.WRITE)
        assert isinstance(error, errors.NameTaken)


def test_an_unknown_404_is_no_proof_of_absence() -> None:
    """A 404 without a code that we know never reads as "there is no such database"."""
    error = refusal(Facts("get database", 404, 4242), Effect.READ)
    assert isinstance(error, errors.Rejected)


def test_a_known_code_is_found_among_several() -> None:
    """When an answer lists several errors, the one that we know decides."""
    body = {"success": False, "errors": [{"code": 5, "message": "x"}, {"code": 7404}]}
    with pytest.raises(errors.NotFound):
        judge(httpx.Response(404, json=body), Effect.READ)


def test_the_other_shape_of_errors_is_read_too() -> None:
    """A few endpoints answer with a bare code and error."""
    with pytest.raises(errors.WorkerNotFound, match="gone"):
        judge(httpx.Response(404, json={"code": 10007, "error": "gone"}), Effect.READ)


@pytest.mark.parametrize(
    "body",
    [
        {"success": False},
        {"success": False, "errors": None},
        {"success": False, "errors": "no"},
        {"success": False, "errors": [None, 3]},
        {"success": False, "errors": [{"code": "x", "message": 5}]},
        {"success": "true", "result": {}},
        {},
    ],
)
def test_a_200_without_success_is_no_success(body: dict[str, Any]) -> None:
    """Whatever the envelope looks like, only success: true is one."""
    with pytest.raises(errors.Unavailable):
        judge(httpx.Response(200, json=body), Effect.READ)
    with pytest.raises(errors.Unsettled):
        judge(httpx.Response(200, json=body), Effect.WRITE)


def test_a_deeply_nested_answer_is_malformed_not_a_crash() -> None:
    """An answer that exhausts the JSON parser is an answer that says nothing."""
    page = httpx.Response(200, content=b"[" * 200_000)
    with pytest.raises(errors.Unavailable):
        judge(page, Effect.READ)


def test_long_messages_are_cut() -> None:
    """A refusal as long as a book does not fill the log."""
    body = {"success": False, "errors": [{"code": 7400, "message": "x" * 100_000}]}
    with pytest.raises(errors.Rejected) as error:
        judge(httpx.Response(400, json=body), Effect.READ)
    assert len(str(error.value)) < 700


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30", 30.0),
        ("0", 0.0),
        ("999999", 3600.0),
        ("Mon, 23 Nov 2026 20:01:00 GMT", 60.0),
        ("Mon, 23 Nov 2026 19:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 20:01:00 -0000", 60.0),
        ("-5", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_in_all_its_forms(value: str, seconds: float | None) -> None:
    """Seconds and dates are understood, at most an hour; nonsense is as if it were not there."""
    assert retry_after(httpx.Response(429, headers={"retry-after": value}), NOW) == seconds


@pytest.mark.parametrize(
    ("limit", "policy", "expected"),
    [
        ('"default";r=50;t=30', '"default";q=1200;w=300', (50, 30, 1200)),
        ('"default";r=50;t=30', '"burst";q=100;w=60', (50, 30, None)),
        ('"a";r=50;t=30, "b";r=5;t=2', '"a";q=100;w=60, "b";q=9;w=3', (5, 2, 9)),
        ('"default"; r=50; t=30', "", (50, 30, None)),
        ('"default";r=-1;t=30', "", None),
        ("nonsense", "more", None),
        ("", "", None),
    ],
)
def test_ratelimit_headers(
    limit: str, policy: str, expected: tuple[int, int, int | None] | None
) -> None:
    """The tightest of the named limits counts, with the quota of its own policy only."""
    headers = {"ratelimit": limit, "ratelimit-policy": policy}
    assert rate_limit(httpx.Response(200, headers=headers)) == expected


def test_every_error_class_is_in_the_drawing_and_public() -> None:
    """The tree at the top of the module and the public names know every class."""
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and value.__module__ == errors.__name__
    }
    assert classes == set(errors.__all__)
    drawn = classes - {
        "CloudflareError",
        "CloudflareTransient",
        "CloudflarePermanent",
        "CloudflareConflict",
        "Facts",
    }
    assert all(f"── {name} " in (errors.__doc__ or "") for name in drawn)
