"""Answers about databases that no honest emulator gives: short lists, strangers, broken dumps."""

from typing import Any

import httpx
import pytest

from shared.cloudflare import errors
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.cloudflare.models import ExportDone, ImportDone, TransferUnderWay
from shared.cloudflare.transfers import fetch_dump, put_dump
from shared.domain.budget import Lane

URL = "https://storage.test/dump.sql?signature=canary"


@pytest.fixture
def api(client: CloudflareClient) -> LaneClient:
    return client.on(Lane.REPAIR)


def page(ok: Any, count: int, total: Any, first: int = 0) -> httpx.Response:
    items = [{"uuid": f"u{n}", "name": f"n{n}"} for n in range(first, first + count)]
    response: httpx.Response = ok(items, result_info={"count": count, "total_count": total})
    return response


def test_a_whole_list_is_evidence(api: LaneClient, wire: Any, ok: Any) -> None:
    """When as many came as were counted, the listing ends without an error."""
    wire.will(page(ok, 10, 15), page(ok, 5, 15, 10))
    pages = list(api.d1.pages(per_page=10))
    assert [len(page.databases) for page in pages] == [10, 5]
    assert [dict(request.url.params)["page"] for request in wire.requests] == ["1", "2"]


def test_an_empty_account_is_one_page(api: LaneClient, wire: Any, ok: Any) -> None:
    """No databases at all is a whole list too."""
    wire.will(page(ok, 0, 0))
    assert [page.total_count for page in api.d1.pages()] == [0]


def test_databases_made_while_listing_are_no_harm(api: LaneClient, wire: Any, ok: Any) -> None:
    """A count that grows on the way asks for one page more."""
    wire.will(page(ok, 10, 15), page(ok, 6, 16, 10))
    assert len(list(api.d1.pages(per_page=10))) == 2


@pytest.mark.parametrize("short", [[(10, 15), (4, 15), (0, 15)], [(10, 15), (0, 15)], [(0, 3)]])
def test_a_list_that_is_cut_short_is_no_evidence(
    short: list[tuple[int, int]], api: LaneClient, wire: Any, ok: Any
) -> None:
    """Fewer databases than were counted: nobody may conclude that one is gone."""
    wire.will(*[page(ok, count, total) for count, total in short])
    with pytest.raises(errors.CutShort, match="databases came") as error:
        list(api.d1.pages(per_page=10))
    assert error.value.facts.cf_ray == "8ray-AMS"


def test_a_list_that_shrinks_is_no_evidence(api: LaneClient, wire: Any, ok: Any) -> None:
    """A delete between two pages moves others across the edge unseen."""
    wire.will(page(ok, 10, 20), page(ok, 9, 19, 10))
    with pytest.raises(errors.CutShort, match="20 databases became 19"):
        list(api.d1.pages(per_page=10))


@pytest.mark.parametrize("info", [None, {}, {"total_count": "7"}, {"total_count": None}, 3])
def test_a_list_without_its_count_is_malformed(
    info: Any, api: LaneClient, wire: Any, ok: Any
) -> None:
    """Without a count nothing can be proven."""
    wire.will(ok([], result_info=info))
    with pytest.raises(errors.Unavailable, match="total_count"):
        list(api.d1.pages())


def test_another_database_than_asked_for_is_malformed(api: LaneClient, wire: Any, ok: Any) -> None:
    """A look-up or a create that answers with a stranger is never taken for ours."""
    wire.will(ok({"uuid": "u", "name": "stranger"}))
    with pytest.raises(errors.Unavailable, match="asked for"):
        api.d1.get("ours")
    with pytest.raises(errors.Unsettled, match="asked for"):
        api.d1.create("ours", "weur")


def test_a_create_always_says_where(api: LaneClient, wire: Any, ok: Any) -> None:
    """A hint or a jurisdiction goes with every create; an unknown class is never sent."""
    wire.will(ok({"uuid": "u", "name": "n"}))
    api.d1.create("n", "apac")
    assert wire.last_json == {"name": "n", "primary_location_hint": "apac"}
    api.d1.create("n", "fedramp")
    assert wire.last_json == {"name": "n", "jurisdiction": "fedramp"}
    with pytest.raises(ValueError, match="moon"):
        api.d1.create("n", "moon")
    assert len(wire.requests) == 2


def test_reads_are_one_batch_of_raw_rows(api: LaneClient, wire: Any, ok: Any) -> None:
    """Each statement has its rows as lists, and an answer that lacks one is malformed."""
    rows = {"results": {"columns": ["a", "a"], "rows": [[1, None], ["x", 2.5]]}}
    wire.will(ok([rows, {"results": {"columns": ["b"], "rows": []}}]))
    assert api.d1.read("u", ["SELECT a, a FROM t", "SELECT b FROM u"]) == [
        [[1, None], ["x", 2.5]],
        [],
    ]
    assert wire.requests[-1].url.path.endswith("/u/raw")
    assert wire.last_json == {"batch": [{"sql": "SELECT a, a FROM t"}, {"sql": "SELECT b FROM u"}]}
    wire.will(ok([rows]))
    with pytest.raises(errors.CloudflareError, match="malformed"):
        api.d1.read("u", ["SELECT 1", "SELECT 2"])


def test_the_steps_of_an_export(api: LaneClient, wire: Any, ok: Any) -> None:
    """Under way gives a bookmark, which the next step sends; done gives the address."""
    going = {"success": True, "type": "export", "status": "active", "at_bookmark": "b1"}
    result = {"filename": "f.sql", "signed_url": URL}
    wire.will(
        ok({**going, "messages": ["Uploaded part 1"]}, status=202),
        ok({**going, "status": "complete", "result": result}),
    )
    step = api.d1.export("u", tables=["t"])
    assert isinstance(step, TransferUnderWay)
    assert wire.last_json == {"output_format": "polling", "dump_options": {"tables": ["t"]}}
    done = api.d1.export("u", step.at_bookmark)
    assert wire.last_json == {"output_format": "polling", "current_bookmark": "b1"}
    assert done == ExportDone(filename="f.sql", signed_url=URL, at_bookmark="b1")
    assert "canary" not in repr(done)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        ({"success": False, "error": "Not currently importing anything."}, errors.TransferGone),
        ({"success": False, "error": "Export was cancelled"}, errors.TransferGone),
        ({"success": True, "status": "error", "error": "virtual table"}, errors.TransferFailed),
        ({"success": True, "status": "error", "errors": ["near: SQLITE_ERROR"]}, errors.SqlError),
        ({"success": False}, errors.TransferFailed),
    ],
)
def test_the_inner_failures_of_transfers(
    result: dict[str, Any], kind: type[Exception], api: LaneClient, wire: Any, ok: Any
) -> None:
    """A failure inside a successful envelope is a failure, with the cf-ray of its answer."""
    wire.will(ok(result))
    for step in (lambda: api.d1.export("u", "b"), lambda: api.d1.import_poll("u", "b")):
        with pytest.raises(kind, match="8ray-AMS"):
            step()


def test_a_dump_that_is_known_already_loads_at_once(api: LaneClient, wire: Any, ok: Any) -> None:
    """An init may answer with the import itself instead of an address."""
    wire.will(
        ok({"success": True, "status": "active", "at_bookmark": "b"}),
        ok({"success": True, "status": "complete", "result": {"num_queries": 3}}),
    )
    assert api.d1.import_init("u", "etag") == TransferUnderWay(at_bookmark="b")
    assert api.d1.import_init("u", "etag") == ImportDone(num_queries=3)


def test_storage_never_gets_the_token(wire: Any, token: str) -> None:
    """Signed addresses are not the API: the dump goes there, the token does not."""
    wire.will(httpx.Response(200, headers={"etag": '"md5"'}, content=b"dump"))
    with httpx.Client(transport=httpx.MockTransport(wire)) as http:
        put_dump(http, URL, b"dump", "md5")
        assert b"".join(fetch_dump(http, URL)) == b"dump"
    assert wire.requests[0].content == b"dump"
    assert all("authorization" not in request.headers for request in wire.requests)


def test_a_dump_in_pieces_goes_with_its_length(wire: Any) -> None:
    """Object storage takes nothing of unknown length: pieces are announced with their sum."""
    wire.will(httpx.Response(200, headers={"etag": '"md5"'}))
    with httpx.Client(transport=httpx.MockTransport(wire)) as http:
        put_dump(http, URL, iter([b"du", b"mp"]), "md5", size=4)
    (request,) = wire.requests
    assert request.content == b"dump"
    assert request.headers["content-length"] == "4"
    assert "transfer-encoding" not in request.headers


def test_a_database_that_is_moved_already_is_waited_for(
    wire: Any, ok: Any, api: LaneClient
) -> None:
    """Another export or import of the same database under way is no refusal for good."""
    for what in ("export", "import"):
        busy = f"Currently processing a long-running {what}."
        wire.will(ok({"success": False, "error": busy}), ok({"success": False, "error": busy}))
        with pytest.raises(errors.Overloaded):
            api.d1.export("u")
        with pytest.raises(errors.Overloaded):
            api.d1.import_ingest("u", "etag", "file")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(403, text="expired"),
        httpx.Response(302, headers={"location": "https://elsewhere.test"}),
        httpx.Response(500),
        httpx.ReadError(URL),
        httpx.ConnectTimeout("slow"),
    ],
    ids=lambda answer: getattr(answer, "status_code", type(answer).__name__),
)
def test_storage_that_fails_is_asked_again_later(
    answer: httpx.Response | Exception, wire: Any
) -> None:
    """Whatever goes wrong with a dump on its way is transient, and hides the address."""
    wire.will(answer)
    with httpx.Client(transport=httpx.MockTransport(wire)) as http:
        for move in (lambda: put_dump(http, URL, b"x", "md5"), lambda: [*fetch_dump(http, URL)]):
            with pytest.raises((errors.Unavailable, errors.NotReached)) as error:
                move()
            assert "canary" not in str(error.value)


def test_a_dump_that_arrived_changed_is_not_loaded(wire: Any) -> None:
    """Storage must name the very MD5 that was sent."""
    wire.will(httpx.Response(200, headers={"etag": '"other"'}))
    with (
        httpx.Client(transport=httpx.MockTransport(wire)) as http,
        pytest.raises(errors.Unavailable, match="another MD5"),
    ):
        put_dump(http, URL, b"x", "md5")
