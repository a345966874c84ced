import concurrent.futures
from pathlib import Path
from typing import Any

import pytest

from local.cloudflare import Emulator
from tests.emulator.api import Api


def test_a_database_is_found_by_uuid_and_by_name(quiet: Api) -> None:
    """Show a new database in full, by either of its names, and only the fields asked for."""
    made = quiet.result(
        "POST", "/d1/database", json={"name": "one", "primary_location_hint": "apac"}
    )
    assert made["running_in_region"] == "APAC"
    assert made["read_replication"] == {"mode": "disabled"}
    assert made["num_tables"] == 0
    assert quiet.result("GET", f"/d1/database/{made['uuid']}") == made
    assert quiet.result("GET", "/d1/database/one") == made
    brief = quiet.result("GET", "/d1/database/one", params={"fields": "uuid,name"})
    assert brief == {"uuid": made["uuid"], "name": "one"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": "-a"},
        {"name": "a b"},
        {"name": "a", "primary_location_hint": "mars"},
        {"name": "a", "jurisdiction": "moon"},
        {"name": "a", "read_replication": {"mode": "always"}},
        [],
    ],
)
def test_a_malformed_create_is_refused(quiet: Api, body: Any) -> None:
    """Answer 400 with 7400 and make nothing."""
    assert quiet.refusal("POST", "/d1/database", json=body) == (400, 7400)
    assert quiet.result("GET", "/d1/database") == []


def test_a_body_that_is_not_json_is_refused(quiet: Api) -> None:
    """Answer 400 with 7400."""
    assert quiet.refusal("POST", "/d1/database", content=b"{") == (400, 7400)


def test_names_are_unique(quiet: Api) -> None:
    """Answer a second create of a name with 7502, until the first is deleted."""
    uuid = quiet.database("one")
    assert quiet.refusal("POST", "/d1/database", json={"name": "one"}) == (400, 7502)
    quiet.result("DELETE", f"/d1/database/{uuid}")
    assert quiet.database("one") != uuid


def test_racing_creates_of_a_name_make_one_database(live: Api) -> None:
    """Let exactly one of many concurrent creates win."""

    def create(_: int) -> int:
        return live("POST", "/d1/database", json={"name": "raced"}).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(create, range(8)))
    assert statuses == [200, *[400] * 7]


def test_the_number_of_databases_is_limited(quiet: Api) -> None:
    """Answer 7406 at the limit, which the control door sets."""
    quiet.control.post("/limits", json={"databases": 1}).raise_for_status()
    quiet.database("one")
    assert quiet.refusal("POST", "/d1/database", json={"name": "two"}) == (400, 7406)


def test_lists_are_paged_and_searched(quiet: Api) -> None:
    """Page in a stable order with the total, and search names without regard to case."""
    for number in range(25):
        quiet.database(f"db-{number:02}")
    page = quiet("GET", "/d1/database", params={"page": 3, "per_page": 10}).json()
    assert [item["name"] for item in page["result"]] == [f"db-{n}" for n in range(20, 25)]
    info = {"page": 3, "per_page": 10, "count": 5, "total_count": 25}
    assert page["result_info"] == info
    assert set(page["result"][0]) == {"uuid", "name", "version", "created_at", "jurisdiction"}
    found = quiet.result("GET", "/d1/database", params={"name": "DB-1"})
    assert len(found) == 10
    for wrong in ({"page": 0}, {"per_page": 10_001}, {"page": "x"}):
        assert quiet.refusal("GET", "/d1/database", params=wrong) == (400, 7400)


def test_what_is_not_there_is_not_found(quiet: Api) -> None:
    """Answer 7404 for a database that does not exist, 7400 for an id that is none."""
    nowhere = "/d1/database/00000000-0000-4000-8000-000000000000"
    assert quiet.refusal("GET", nowhere) == (404, 7404)
    assert quiet.refusal("GET", "/d1/database/nobody") == (404, 7404)
    assert quiet.refusal("DELETE", nowhere) == (404, 7404)
    assert quiet.refusal("POST", f"{nowhere}/query", json={"sql": "select 1"}) == (404, 7404)
    assert quiet.refusal("POST", "/d1/database/nobody/query", json={"sql": "x"}) == (400, 7400)


def test_only_read_replication_can_be_changed(quiet: Api) -> None:
    """Take a mode through PUT and PATCH; PUT must have one."""
    uuid = quiet.database("one")
    body = {"read_replication": {"mode": "auto"}}
    changed = quiet.result("PUT", f"/d1/database/{uuid}", json=body)
    assert changed["read_replication"] == {"mode": "auto"}
    assert quiet.refusal("PUT", f"/d1/database/{uuid}", json={}) == (400, 7400)
    assert quiet.result("PATCH", f"/d1/database/{uuid}", json={})["name"] == "one"


def test_several_statements_are_one_batch(live: Api) -> None:
    """Answer each statement; let none have happened when one fails."""
    uuid = live.database("batched")
    results = live.query(uuid, "create table t(a); insert into t values (1), (2); select * from t")
    assert results == [[], [], [{"a": 1}, {"a": 2}]]
    path = f"/d1/database/{uuid}/query"
    sql = "insert into t values (3); insert into nowhere values (1)"
    assert live.refusal("POST", path, json={"sql": sql}) == (400, 7500)
    batch = [
        {"sql": "insert into t values (?)", "params": [4]},
        {"sql": "select count(*) as n from t"},
    ]
    answers = live.result("POST", path, json={"batch": batch})
    assert answers[1]["results"] == [{"n": 3}]
    meta = answers[0]["meta"]
    assert meta["changes"] == 1
    assert meta["rows_written"] == 1
    assert meta["served_by_primary"] is True


def test_raw_keeps_columns_of_one_name(live: Api) -> None:
    """Return columns and rows apart, and blobs as lists of bytes."""
    uuid = live.database("raw")
    body = {"sql": "select ?1 as a, ?2 as a, ?3 as b", "params": [1.5, None, [1, 2]]}
    (answer,) = live.result("POST", f"/d1/database/{uuid}/raw", json=body)
    assert answer["results"] == {"columns": ["a", "a", "b"], "rows": [[1.5, None, [1, 2]]]}


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("selec 1", 'near "selec": syntax error at offset 0: SQLITE_ERROR'),
        ("select " + ",".join(["?"] * 101), "too many SQL variables"),
        (f"select '{'x' * 100_001}'", "statement too long: SQLITE_TOOBIG"),
        ("begin", "To execute a transaction"),
        ("attach 'x' as y", "not authorized"),
        ("create table _cf_x(a)", "not authorized"),
        ("", "No SQL statements detected."),
        ("select ?; select 2", "only one statement"),
        ("create trigger t after insert on a begin\r\nselect 1;\r\nend;", "incomplete input"),
    ],
)
def test_the_engine_has_d1s_limits(live: Api, sql: str, complaint: str) -> None:
    """Refuse with 7500 what D1 refuses, in its words."""
    params = [1] if ";" in sql and "trigger" not in sql else []
    answer = live(
        "POST", f"/d1/database/{limited(live)}/query", json={"sql": sql, "params": params}
    )
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["code"] == 7500
    assert complaint in error["message"]


def limited(live: Api) -> str:
    found = live.result("GET", "/d1/database", params={"name": "limits"})
    return found[0]["uuid"] if found else live.database("limits")


@pytest.mark.parametrize(
    "body", [{}, {"sql": 1}, {"batch": []}, {"sql": "x", "params": [True]}, {"batch": ["x"]}]
)
def test_a_malformed_query_is_refused(live: Api, body: dict[str, Any]) -> None:
    """Answer 400 with 7400."""
    assert live.refusal("POST", f"/d1/database/{limited(live)}/query", json=body) == (400, 7400)


def test_size_and_tables_are_counted(live: Api) -> None:
    """Show how many tables and bytes a database has, leaving out the engine's own."""
    uuid = live.database("measured")
    live.query(uuid, "create table a(x); create table b(x)")
    shown = live.result("GET", f"/d1/database/{uuid}")
    assert shown["num_tables"] == 2
    assert shown["file_size"] >= 12288


def test_a_deleted_database_is_gone_with_its_file(live: Api) -> None:
    """Remove data and name; a later query is not found."""
    uuid = live.database("doomed")
    live.query(uuid, "create table t(a)")
    file = live.emulator.engine.file(uuid)
    assert file.exists()
    live.result("DELETE", f"/d1/database/{uuid}")
    assert not file.exists()
    path = f"/d1/database/{uuid}/query"
    assert live.refusal("POST", path, json={"sql": "select 1"}) == (404, 7404)


def test_databases_outlive_a_restart(tmp_path: Path) -> None:
    """Find databases and rows again in the folder of an emulator that was stopped."""
    with Emulator(tmp_path) as emulator:
        api = Api(emulator, wsgi=True)
        uuid = api.database("kept")
        api.query(uuid, "create table t(a); insert into t values ('still here')")
    with Emulator(tmp_path) as emulator:
        api = Api(emulator, wsgi=True)
        assert api.query(uuid, "select a from t") == [[{"a": "still here"}]]
        assert api.refusal("POST", "/d1/database", json={"name": "kept"}) == (400, 7502)
