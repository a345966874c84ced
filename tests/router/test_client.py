"""Each operation of the admin client: what is sent, signed, and made of the answer."""

import inspect
import json
from datetime import datetime
from typing import Any

import httpx
import pytest
import standardwebhooks
import svix.webhooks

from shared.errors import Transient
from shared.router import errors
from shared.router.client import RouterClient
from tests.router.answering import (
    CALLS,
    ROW,
    SECRET,
    STATUS,
    Router,
    every_call,
    refusal,
)


def test_these_are_all_the_operations_there_are() -> None:
    """A method that is added to the client must be added to these tests."""
    public = {n for n, v in vars(RouterClient).items() if inspect.isfunction(v) and n[0] != "_"}
    assert public == {op.rpartition(".")[2] for op in CALLS}


@every_call
@pytest.mark.parametrize("judge", [standardwebhooks.Webhook, svix.webhooks.Webhook])
def test_requests_are_signed_as_the_official_libraries_verify(
    op: str, judge: Any, client: RouterClient, router: Router
) -> None:
    """Both official libraries accept each request, and it names whom it is meant for."""
    router.will(refusal(503, "ShardUnavailable"))
    with pytest.raises(Transient):
        CALLS[op](client)
    request = router.requests[0]
    judge(SECRET).verify(request.content, dict(request.headers))
    command = json.loads(request.content)
    assert request.method == "POST"
    assert str(request.url) == f"https://acme-pool.x.workers.dev/_d1fleet/{op}"
    named = {key: command[key] for key in ("v", "op", "script", "fleet_uid")}
    assert named == {"v": 1, "op": op, "script": "acme-pool", "fleet_uid": "uid-1"}
    assert datetime.fromisoformat(command["time"]).tzinfo is not None


def test_no_two_requests_carry_the_same_id(client: RouterClient, router: Router) -> None:
    """Each request, also a repeated one, is signed anew."""
    router.will(httpx.ReadError("cut"))
    with pytest.raises(Transient):
        client.status()
    first, second = (request.headers["webhook-id"] for request in router.requests)
    assert first != second


def test_status_tells_what_a_shard_serves(client: RouterClient, router: Router) -> None:
    """The answer is typed, and fields of a newer router do no harm."""
    router.will(STATUS)
    served = client.status("acme-pool-1")
    assert served is not None
    assert (served.generation, served.bindings, served.bindings_hash) == (7, 2, "ff")
    assert json.loads(router.requests[0].content)["shard"] == "acme-pool-1"


def test_status_of_the_router_names_no_shard(client: RouterClient, router: Router) -> None:
    """Without a shard the router speaks of itself."""
    router.will({**STATUS, "script": "acme-pool", "shards": ["acme-pool-1"]})
    served = client.status()
    assert served is not None
    assert served.shards == ("acme-pool-1",)
    assert "shard" not in json.loads(router.requests[0].content)


def test_status_of_an_unknown_shard_is_none(client: RouterClient, router: Router) -> None:
    """A shard that the running router is not bound to yet is no error to whoever asks."""
    router.will(refusal(503, "ShardUnknown"))
    assert client.status("acme-pool-9") is None


@pytest.mark.parametrize("stranger", [{"script": "acme-pool-2"}, {"fleet_uid": "uid-2"}])
def test_a_status_of_somebody_else_is_refused(
    stranger: dict[str, str], client: RouterClient, router: Router
) -> None:
    """Another script's or fleet's status is never taken for ours."""
    router.will({**STATUS, **stranger})
    with pytest.raises(errors.WrongFleet):
        client.status("acme-pool-1")


def test_upsert_gives_the_rows_as_they_stand(client: RouterClient, router: Router) -> None:
    """A row that was older than the directory's comes back as the directory has it."""
    router.will({"rows": [{**ROW.model_dump(), "version": 9, "applied": False}]})
    (row,) = client.upsert([ROW])
    assert (row.version, row.applied) == (9, False)
    assert json.loads(router.requests[0].content)["rows"] == [ROW.model_dump()]


def test_upsert_in_requests_that_the_router_takes(client: RouterClient, router: Router) -> None:
    """More rows than a request may have go in several, and no rows in none."""
    rows = [ROW.model_copy(update={"tenant_id": f"t{n}"}) for n in range(1001)]
    standing = [{**row.model_dump(), "applied": True} for row in rows]
    router.will({"rows": standing[:1000]}, {"rows": standing[1000:]})
    assert len(client.upsert(rows)) == 1001
    assert len(router.requests) == 2
    assert client.upsert([]) == []
    assert len(router.requests) == 2


def test_upsert_answers_for_the_rows_that_were_sent(client: RouterClient, router: Router) -> None:
    """An answer about other tenants is malformed."""
    router.will({"rows": [{**ROW.model_dump(), "tenant_id": "org_2", "applied": True}]})
    with pytest.raises(errors.RouterUnavailable, match="malformed"):
        client.upsert([ROW])


def test_reads_give_the_rows_of_each_statement(client: RouterClient, router: Router) -> None:
    """Rows come as lists, and an answer that lacks a statement's is malformed."""
    router.will({"results": [[[1, None]], [["x"], [2.5]]]})
    assert client.read("acme-pool-1", "DB_X", ["SELECT 1, NULL", "SELECT a FROM t"]) == [
        [[1, None]],
        [["x"], [2.5]],
    ]
    command = json.loads(router.requests[0].content)
    assert command["statements"] == ["SELECT 1, NULL", "SELECT a FROM t"]
    with pytest.raises(errors.RouterUnavailable, match="malformed"):
        client.read("acme-pool-1", "DB_X", ["SELECT 1"])


def test_a_database_has_one_owner_for_ever(client: RouterClient, router: Router) -> None:
    """The refusal names tenant and database, and a person must look."""
    conflicts = [{"tenant_id": "org_1", "database_uuid": "uuid-1"}, "nonsense"]
    router.will(refusal(409, "OwnerConflict", conflicts=conflicts))
    with pytest.raises(errors.OwnerConflict, match="uuid-1 for org_1") as error:
        client.upsert([ROW])
    assert error.value.conflicts == (("org_1", "uuid-1"),)


def test_get_leaves_out_unknown_tenants(client: RouterClient, router: Router) -> None:
    """Only rows that exist come back."""
    router.will({"rows": [ROW.model_dump()]})
    assert client.get(["org_1", "org_2"]) == [ROW]


def test_the_directory_comes_in_pages(client: RouterClient, router: Router) -> None:
    """A page says where the next begins, and the last one that there is none."""
    rows = [{**ROW.model_dump(), "tenant_id": f"org_{n}"} for n in range(1, 4)]
    router.will({"rows": rows[:2], "next": "org_2"}, {"rows": rows[2:], "next": None})
    first = client.list(None, 2)
    assert first.next is not None
    last = client.list(first.next, 2)
    assert [row.tenant_id for row in (*first.rows, *last.rows)] == ["org_1", "org_2", "org_3"]
    assert last.next is None
    asked = [json.loads(request.content) for request in router.requests]
    assert [(one["after"], one["limit"]) for one in asked] == [(None, 2), ("org_2", 2)]


@pytest.mark.parametrize(
    ("ids", "following"),
    [
        (["org_2", "org_1"], None),  # out of order
        (["org_1", "org_1"], None),  # one twice
        (["org_0"], None),  # begins with what was read already
        (["org_1", "org_2", "org_3"], None),  # more than asked for
        (["org_1", "org_2"], "org_1"),  # would be read for ever
        ([], "org_9"),
    ],
)
def test_a_page_that_can_not_be_is_refused(
    ids: list[str], following: str | None, client: RouterClient, router: Router
) -> None:
    """Whatever would repeat or skip rows is malformed: no evidence of anything."""
    rows = [{**ROW.model_dump(), "tenant_id": each} for each in ids]
    router.will({"rows": rows, "next": following})
    with pytest.raises(errors.RouterUnavailable, match="no page"):
        client.list("org_0", 2)


def test_owners_are_told_by_database(client: RouterClient, router: Router) -> None:
    """The witness's rows come back typed; more databases than a request may name go in several."""
    row = {"database_uuid": "uuid-1", "tenant_id": "org_1", "since": "2026-01-01T00:00:00.000Z"}
    router.will({"rows": [row]}, {"rows": []})
    (owner,) = client.owners(f"uuid-{n}" for n in range(1001))
    assert (owner.database_uuid, owner.tenant_id, owner.since.year) == ("uuid-1", "org_1", 2026)
    assert len(router.requests) == 2


def test_probe_tells_which_database_answered(client: RouterClient, router: Router) -> None:
    """A probe names binding, uuid and generation; one of another tenant is malformed."""
    found = {
        "tenant_id": "org_1",
        "shard": "acme-pool-1",
        "binding": "DB_X",
        "database_uuid": "uuid-1",
        "generation": 7,
    }
    router.will(found, {**found, "tenant_id": "org_2"})
    assert client.probe("org_1").database_uuid == "uuid-1"
    with pytest.raises(errors.RouterUnavailable, match="another tenant"):
        client.probe("org_1")


def test_a_tenant_that_is_not_ready_says_when_to_ask_again(
    client: RouterClient, router: Router
) -> None:
    """The router's own wait is handed on."""
    router.will(refusal(503, "TenantNotReady", retry_after=2))
    with pytest.raises(errors.TenantNotReady) as error:
        client.probe("org_1")
    assert error.value.retry_after == 2


def test_migrate_sends_files_and_gives_the_ledger(client: RouterClient, router: Router) -> None:
    """Files go out as names and statements; what is applied comes back in order."""
    router.will({"applied": ["2.sql"], "ledger": ["1.sql", "2.sql"]})
    result = client.migrate("acme-pool-1", "DB_X", "d1_migrations", [("2.sql", ("A", "B"))])
    assert result.ledger == ("1.sql", "2.sql")
    sent = json.loads(router.requests[0].content)
    assert sent["files"] == [{"name": "2.sql", "statements": ["A", "B"]}]
    assert (sent["shard"], sent["binding"], sent["table"]) == (
        "acme-pool-1",
        "DB_X",
        "d1_migrations",
    )


@pytest.mark.parametrize(
    ("statement", "where", "number"),
    [
        (1, "0002.sql, statement 2: near", 1),
        (None, "0002.sql: near", None),
        ("x", "0002.sql", None),
    ],
)
def test_a_wrong_migration_says_where(
    statement: Any, where: str, number: int | None, client: RouterClient, router: Router
) -> None:
    """File, statement and SQLite's words reach the person who must mend it."""
    router.will(refusal(422, "MigrationFailed", 'near "FOO"', file="0002.sql", statement=statement))
    with pytest.raises(errors.MigrationFailed, match=where) as error:
        CALLS["migrate"](client)
    assert (error.value.file, error.value.statement) == ("0002.sql", number)
    assert error.value.message == 'near "FOO"'


def test_inspect_measures_and_tells_what_it_could_not(client: RouterClient, router: Router) -> None:
    """A database that can't be asked has an error and no figures."""
    router.will(
        {
            "rows": [
                {"binding": "DB_X", "size": 8192, "schema_hash": "h", "schema_version": None},
                {"binding": "DB_Y", "error": {"name": "BindingMissing", "message": "no"}},
            ]
        }
    )
    good, bad = client.inspect("acme-pool-1", ["DB_X", "DB_Y"], "d1_migrations")
    assert (good.size, good.schema_version, good.error) == (8192, "", None)
    assert bad.error is not None
    assert bad.error.name == "BindingMissing"
