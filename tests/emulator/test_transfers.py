import hashlib
import time
from typing import Any

import httpx

from tests.emulator.api import Api

SQL = "create table t(a); insert into t values ('one'), ('it''s');"


def export(api: Api, uuid: str, bookmark: str | None = None, **options: Any) -> httpx.Response:
    body = {"output_format": "polling", "dump_options": options}
    if bookmark is not None:
        body["current_bookmark"] = bookmark
    return api("POST", f"/d1/database/{uuid}/export", json=body)


def start_import(api: Api, uuid: str, text: bytes) -> dict[str, Any]:
    path = f"/d1/database/{uuid}/import"
    etag = hashlib.md5(text).hexdigest()
    init = api.result("POST", path, json={"action": "init", "etag": etag})
    put = httpx.put(init["upload_url"], content=text)
    assert put.status_code == 200
    assert put.headers["etag"].strip('"') == etag
    body = {"action": "ingest", "etag": etag, "filename": init["filename"]}
    result = api.result("POST", path, json=body)
    assert result["status"] == "active"
    poll = {"action": "poll", "current_bookmark": result["at_bookmark"]}
    polled: dict[str, Any] = api.result("POST", path, json=poll)
    return polled


def test_an_export_is_polled_and_can_be_imported(live: Api) -> None:
    """Export in two calls, read the file without a token, and import it elsewhere."""
    uuid = live.database("exported")
    live.query(uuid, SQL)
    begun = export(live, uuid)
    assert begun.status_code == 202
    first = begun.json()["result"]
    assert first["status"] == "active"
    assert export(live, uuid).json()["result"]["at_bookmark"] == first["at_bookmark"]
    done = export(live, uuid, first["at_bookmark"])
    assert done.status_code == 200
    result = done.json()["result"]
    assert result["status"] == "complete"
    text = httpx.get(result["result"]["signed_url"])
    assert text.status_code == 200
    assert "it''s" in text.text
    assert export(live, uuid, first["at_bookmark"]).json()["result"] == result

    copy = live.database("imported")
    polled = start_import(live, copy, text.content)
    assert polled["status"] == "complete"
    assert polled["result"]["num_queries"] == 4
    assert live.query(copy, "select a from t") == [[{"a": "one"}, {"a": "it's"}]]


def test_an_export_leaves_out_what_it_is_told_to(live: Api) -> None:
    """Export schema or data alone."""
    uuid = live.database("partly")
    live.query(uuid, SQL)

    def text(**options: Any) -> str:
        bookmark = export(live, uuid, **options).json()["result"]["at_bookmark"]
        result = export(live, uuid, bookmark).json()["result"]
        return httpx.get(result["result"]["signed_url"]).text

    assert "INSERT" not in text(no_data=True)
    assert "CREATE" not in text(no_schema=True)
    assert "one" not in text(tables=["other"])


def test_an_export_blocks_queries_until_it_ends(live: Api) -> None:
    """Refuse queries, the API's and a Worker's, while an export runs; not other databases'."""
    uuid, other = live.database("blocked"), live.database("unblocked")
    live.query(uuid, SQL)
    code = """export default { async fetch(_, env) {
      try { return Response.json(await env.DB.prepare("select 1").all()) }
      catch (error) { return new Response(error.message, { status: 500 }) } } }"""
    live.deploy("blocked", code, {"type": "d1", "name": "DB", "database_id": uuid})
    bookmark = export(live, uuid).json()["result"]["at_bookmark"]
    query = {"sql": "select 1"}
    assert live.refusal("POST", f"/d1/database/{uuid}/query", json=query) == (400, 7500)
    assert "long-running export" in live.worker("blocked").text
    live.query(other, "select 1")
    export(live, uuid, bookmark)
    live.query(uuid, "select 1")
    assert live.worker("blocked").status_code == 200


def test_an_export_that_nobody_polls_is_cancelled(quiet: Api) -> None:
    """Take queries again once the polling has stopped; the export is no more."""
    uuid = quiet.database("unpolled")
    quiet.query(uuid, SQL)
    quiet.emulator.transfers.idle = 0.2
    bookmark = export(quiet, uuid).json()["result"]["at_bookmark"]
    deadline = time.monotonic() + 10
    while quiet("POST", f"/d1/database/{uuid}/query", json={"sql": "select 1"}).is_error:
        assert time.monotonic() < deadline
    result = export(quiet, uuid, bookmark).json()["result"]
    assert result == {"success": False, "error": "Not currently exporting anything."}


def test_virtual_tables_keep_a_database_from_being_exported(live: Api) -> None:
    """End such an export with an error, and leave the database usable."""
    uuid = live.database("virtual")
    live.query(uuid, "create virtual table f using fts5(x)")
    result = export(live, uuid).json()["result"]
    assert result["status"] == "error"
    assert "Virtual Tables" in result["error"]
    live.query(uuid, "select * from f")


def test_a_failing_import_changes_nothing(live: Api) -> None:
    """Report the engine's error, and let no statement of the file have happened."""
    uuid = live.database("unimported")
    polled = start_import(live, uuid, b"create table t(a); insert into nowhere values (1);")
    assert polled["status"] == "error"
    assert "nowhere" in polled["error"]
    assert polled["errors"] == [polled["error"]]
    assert live.query(uuid, "select name from sqlite_master where name = 't'") == [[]]


def test_an_import_needs_its_file(live: Api) -> None:
    """Refuse to ingest or poll what was never begun, and an upload that was not promised."""
    uuid = live.database("fileless")
    path = f"/d1/database/{uuid}/import"
    etag = hashlib.md5(b"select 1").hexdigest()
    ingest = {"action": "ingest", "etag": etag, "filename": "x"}
    assert live.result("POST", path, json=ingest)["success"] is False
    poll = live.result("POST", path, json={"action": "poll", "current_bookmark": "x"})
    assert poll == {"success": False, "error": "Not currently importing anything."}
    assert live.refusal("POST", path, json={"action": "init", "etag": "x"}) == (400, 7400)
    init = live.result("POST", path, json={"action": "init", "etag": etag})
    assert httpx.put(init["upload_url"], content=b"other bytes").status_code == 403
    assert httpx.put(init["upload_url"] + "x", content=b"select 1").status_code == 403
    assert httpx.get(init["upload_url"]).status_code == 404


def test_output_format_must_be_polling(live: Api) -> None:
    """Answer 400 with 7400."""
    uuid = live.database("formatless")
    assert live.refusal("POST", f"/d1/database/{uuid}/export", json={}) == (400, 7400)


def bookmark_of(api: Api, uuid: str, **params: str) -> str:
    path = f"/d1/database/{uuid}/time_travel/bookmark"
    return str(api.result("GET", path, params=params)["bookmark"])


def test_a_bookmark_moves_with_writes_alone(live: Api) -> None:
    """Return the same bookmark until something is written, then a later one."""
    uuid = live.database("bookmarked")
    live.query(uuid, "create table t(a)")
    first = bookmark_of(live, uuid)
    live.query(uuid, "select * from t")
    assert bookmark_of(live, uuid) == first
    live.query(uuid, "insert into t values (1)")
    assert bookmark_of(live, uuid) > first


def test_restoring_goes_back_and_forth(live: Api) -> None:
    """Go back to a bookmark, and back again by `previous_bookmark`, virtual tables included."""
    uuid = live.database("restored")
    live.query(uuid, "create table t(a); create virtual table f using fts5(x)")
    live.query(uuid, "insert into t values (1); insert into f values ('hello')")
    before = bookmark_of(live, uuid)
    live.query(uuid, "drop table f; insert into t values (2); create table u(a)")
    path = f"/d1/database/{uuid}/time_travel/restore"
    result = live.result("POST", path, params={"bookmark": before})
    assert live.query(uuid, "select a from t; select x from f") == [[{"a": 1}], [{"x": "hello"}]]
    assert bookmark_of(live, uuid) == result["bookmark"] > result["previous_bookmark"]
    live.result("POST", path, params={"bookmark": result["previous_bookmark"]})
    assert live.query(uuid, "select a from t; select * from u") == [[{"a": 1}, {"a": 2}], []]
    live.query(uuid, "insert into u values (1)")


def test_restoring_by_time(live: Api) -> None:
    """Go to the last bookmark handed out before a time, or to the empty start; refuse the rest."""
    uuid = live.database("timed")
    live.query(uuid, "create table t(a)")
    now = live.emulator.account.now
    empty = now()
    path = f"/d1/database/{uuid}/time_travel/restore"
    assert bookmark_of(live, uuid, timestamp=empty) < bookmark_of(live, uuid)
    live.result("POST", path, params={"timestamp": empty})
    assert live.query(uuid, "select name from sqlite_master where name = 't'") == [[]]
    live.query(uuid, "create table t(b)")
    assert live.refusal("POST", path) == (400, 7400)
    assert live.refusal("POST", path, params={"timestamp": "soon"}) == (400, 7400)
    old = {"timestamp": "2020-01-01T00:00:00Z"}
    assert live.refusal("POST", path, params=old) == (400, 7400)
    assert live.refusal("POST", path, params={"bookmark": "../x"}) == (400, 7500)
