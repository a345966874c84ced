"""The client against the emulator: real SQL, real replacement of settings, faults on demand."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from local.cloudflare.emulator import Emulator
from shared.cloudflare import errors
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.cloudflare.models import ExportDone, ImportDone, ImportUpload, TransferUnderWay
from shared.cloudflare.transfers import fetch_dump, put_dump
from shared.domain.budget import Lane
from shared.errors import OutcomeUnknown

pytestmark = pytest.mark.workerd

MODULE = {"main.js": b"export default { fetch() { return new Response('hi') } }"}
CREATE = "POST /accounts/{a}/d1/database"


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: Any) -> Iterator[Emulator]:
    with Emulator(tmp_path_factory.mktemp("emulator")) as emulator:
        yield emulator


@pytest.fixture
def http(emulator: Emulator) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url="http://emulator.test/client/v4", transport=httpx.WSGITransport(app=emulator.app)
    ) as http:
        http.post("http://emulator.test/__emulator/reset").raise_for_status()
        yield http
        http.post("http://emulator.test/__emulator/reset").raise_for_status()


@pytest.fixture
def fault(http: httpx.Client) -> Callable[..., None]:
    def add(route: str, do: str, nth: int | str = 1, **more: Any) -> None:
        script = [{"route": route, "nth": nth, "do": do, **more}]
        http.post("http://emulator.test/__emulator/faults", json=script).raise_for_status()

    return add


@pytest.fixture
def api(emulator: Emulator, http: httpx.Client, budget: Any, clock: Any) -> LaneClient:
    return CloudflareClient(
        http,
        account_id=emulator.account.account_id,
        token=emulator.api_token,
        budget=budget,
        clock=clock,
    ).on(Lane.REPAIR)


def new_name() -> str:
    return f"t-{uuid4().hex[:26]}"


def exported(api: LaneClient, uuid: str) -> ExportDone:
    """Poll an export to its end."""
    step = api.d1.export(uuid)
    while isinstance(step, TransferUnderWay):
        step = api.d1.export(uuid, step.at_bookmark)
    return step


def loaded(api: LaneClient, uuid: str, step: TransferUnderWay | ImportDone) -> ImportDone:
    """Poll an import to its end."""
    while isinstance(step, TransferUnderWay):
        step = api.d1.import_poll(uuid, step.at_bookmark)
    return step


def names(bindings: Any) -> set[str]:
    return {binding["name"] for binding in bindings}


def test_a_database_lives_from_create_to_delete(api: LaneClient) -> None:
    """It is created where its class says, found by name and uuid, and gone after its delete."""
    name = new_name()
    made = api.d1.create(name, "eu")
    assert made.name == name
    assert api.d1.get(name, fields=()) == api.d1.get(made.uuid, fields=())
    found = api.d1.get(made.uuid, fields=("uuid", "name", "jurisdiction"))
    assert found is not None
    assert found.jurisdiction == "eu"
    assert api.d1.delete(made.uuid) is True
    assert api.d1.get(name) is None
    assert api.d1.delete(made.uuid) is False


def test_a_name_is_taken_once(api: LaneClient) -> None:
    """The second create of a name collides, and is told so."""
    name = new_name()
    api.d1.create(name, "weur")
    with pytest.raises(errors.NameTaken) as error:
        api.d1.create(name, "weur")
    assert error.value.facts.code == 7502
    assert error.value.facts.cf_ray


def test_a_create_whose_answer_is_lost_is_settled_by_its_name(
    api: LaneClient, fault: Callable[..., None], http: httpx.Client
) -> None:
    """The caller learns that it may have happened, one request was sent, and a look settles it."""
    name = new_name()
    fault(CREATE, "lose_answer")
    with pytest.raises(OutcomeUnknown):
        api.d1.create(name, "weur")
    assert api.d1.get(name) is not None
    calls = http.get("http://emulator.test/__emulator/stats").json()["calls"]
    assert calls[CREATE] == 1


def test_a_create_that_was_refused_with_503_did_not_happen(
    api: LaneClient, fault: Callable[..., None]
) -> None:
    """A 503 leaves a create unsettled; here the look finds nothing, and creating again works."""
    name = new_name()
    fault(CREATE, "status", status=503)
    with pytest.raises(OutcomeUnknown):
        api.d1.create(name, "weur")
    assert api.d1.get(name) is None
    assert api.d1.create(name, "weur").name == name


def test_a_full_account_says_what_to_do(api: LaneClient, http: httpx.Client) -> None:
    """The account's limit of databases is a person's matter."""
    door = "http://emulator.test/__emulator/limits"
    http.post(door, json={"databases": 0}).raise_for_status()
    try:
        with pytest.raises(errors.AccountFull, match="upgrade the plan"):
            api.d1.create(new_name(), "weur")
    finally:
        http.post(door, json={"databases": 50_000}).raise_for_status()


def test_the_whole_list_comes_page_by_page(api: LaneClient) -> None:
    """Pages add up to what D1 counts."""
    made = {api.d1.create(new_name(), "weur").uuid for _ in range(25)}
    pages = list(api.d1.pages(per_page=10))
    assert len(pages) >= 3
    seen = [database.uuid for page in pages for database in page.databases]
    assert made <= set(seen)
    assert len(seen) == pages[-1].total_count


def test_sql_runs_and_its_errors_are_sqlites(api: LaneClient) -> None:
    """Rows come as objects and as lists, large integers whole; wrong SQL is a permanent error."""
    uuid = api.d1.create(new_name(), "weur").uuid
    api.d1.query(uuid, "CREATE TABLE t (a INTEGER, b TEXT); INSERT INTO t VALUES (1, 'x')")
    api.d1.batch(uuid, [("INSERT INTO t VALUES (?, ?)", [9007199254740993, None])])
    (result,) = api.d1.query(uuid, "SELECT * FROM t ORDER BY a", read_only=True)
    assert result.results[0] == {"a": 1, "b": "x"}
    (raw,) = api.d1.raw(uuid, "SELECT b, b FROM t WHERE a = ?", [1], read_only=True)
    assert (raw.results.columns, raw.results.rows) == (("b", "b"), (("x", "x"),))
    with pytest.raises(errors.SqlError, match="syntax error"):
        api.d1.query(uuid, "SELEC 1")
    with pytest.raises(errors.SqlError, match="no such table"):
        api.d1.batch(uuid, [("INSERT INTO t VALUES (3, 'y')", []), ("SELECT * FROM nope", [])])
    (count,) = api.d1.query(uuid, "SELECT count(*) AS n FROM t", read_only=True)
    assert count.results[0]["n"] == 2


def test_a_dump_goes_out_and_into_a_fresh_database(api: LaneClient, http: httpx.Client) -> None:
    """An export, polled to its end and loaded elsewhere, gives the same rows."""
    source = api.d1.create(new_name(), "weur").uuid
    api.d1.query(source, "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3)")
    before = api.d1.bookmark(source)
    step = exported(api, source)
    assert step.signed_url not in repr(step)
    dump = b"".join(fetch_dump(http, step.signed_url))
    assert b"INSERT INTO" in dump
    assert api.d1.bookmark(source) == before

    target = api.d1.create(new_name(), "weur").uuid
    md5 = hashlib.md5(dump, usedforsecurity=False).hexdigest()
    upload = api.d1.import_init(target, md5)
    assert isinstance(upload, ImportUpload)
    put_dump(http, upload.upload_url, dump, md5)
    loaded(api, target, api.d1.import_ingest(target, md5, upload.filename))
    (result,) = api.d1.query(target, "SELECT a FROM t ORDER BY a", read_only=True)
    assert [row["a"] for row in result.results] == [1, 2, 3]


def test_a_dump_that_loads_badly_says_why(api: LaneClient, http: httpx.Client) -> None:
    """Wrong SQL in a dump is permanent, a poll of nothing means: begin anew."""
    target = api.d1.create(new_name(), "weur").uuid
    dump = b"CREATE TABLE ok (a); SELEC 1;"
    md5 = hashlib.md5(dump, usedforsecurity=False).hexdigest()
    with pytest.raises(errors.TransferGone):
        api.d1.import_poll(target, "00000000-00000000-00000000-0")
    upload = api.d1.import_init(target, md5)
    assert isinstance(upload, ImportUpload)
    put_dump(http, upload.upload_url, dump, md5)
    with pytest.raises((errors.SqlError, errors.TransferFailed), match="SELEC"):
        loaded(api, target, api.d1.import_ingest(target, md5, upload.filename))


def test_a_virtual_table_can_not_be_exported(api: LaneClient) -> None:
    """A database with full-text search fails its export for good, and says so."""
    uuid = api.d1.create(new_name(), "weur").uuid
    api.d1.query(uuid, "CREATE VIRTUAL TABLE f USING fts5(a)")
    with pytest.raises(errors.TransferFailed):
        exported(api, uuid)


def test_settings_are_replaced_whole(api: LaneClient) -> None:
    """What is inherited stays, what is left out goes, and secrets come back without values."""
    script, uuid = new_name(), api.d1.create(new_name(), "weur").uuid
    metadata = {
        "compatibility_date": "2026-04-01",
        "bindings": [
            {"type": "plain_text", "name": "VAR", "text": "v"},
            {"type": "secret_text", "name": "SECRET", "text": "s3cret"},
        ],
    }
    assert api.workers.exists(script) is False
    api.workers.upload(script, "main.js", MODULE, metadata, message="first", tag="t1")
    assert api.workers.exists(script) is True
    sent = [
        {"type": "inherit", "name": "SECRET"},
        {"type": "d1", "name": "DB_1", "database_id": uuid},
    ]
    answer = api.workers.patch_settings(script, sent, message="second", tag="t2")
    seen = api.workers.settings(script)
    assert names(answer.bindings) == names(seen.bindings) == {"SECRET", "DB_1"}
    assert "s3cret" not in repr(seen)
    assert seen.annotations.get("workers/tag") == "t2"
    (active, *_), versions = api.workers.deployments(script), api.workers.versions(script)
    assert active.only_version == versions[0].id
    detail = api.workers.version(script, versions[0].id)
    assert detail.bindings == api.workers.settings(script).bindings
    assert len(versions) == 2


def test_bindings_to_nothing_are_told_apart(api: LaneClient) -> None:
    """A missing database, service, Worker and a lost inherit are four different errors."""
    script = new_name()
    api.workers.upload(script, "main.js", MODULE, {"compatibility_date": "2026-04-01"})
    gone = {"type": "d1", "name": "DB_1", "database_id": str(uuid4())}
    with pytest.raises(errors.BoundDatabaseMissing):
        api.workers.patch_settings(script, [gone])
    service = {"type": "service", "name": "S", "service": "nobody"}
    with pytest.raises(errors.BoundServiceMissing):
        api.workers.patch_settings(script, [service])
    with pytest.raises(errors.WorkerNotFound):
        api.workers.patch_settings("nobody", [])
    with pytest.raises(errors.InheritUnresolved):
        api.workers.upload(
            script,
            "main.js",
            MODULE,
            {"compatibility_date": "2026-04-01", "bindings": [{"type": "inherit", "name": "X"}]},
        )


def test_a_rollout_under_way_makes_settings_wait(
    api: LaneClient, http: httpx.Client, emulator: Emulator
) -> None:
    """While an uploaded version is not deployed, a patch is told to wait."""
    script = new_name()
    api.workers.upload(script, "main.js", MODULE, {"compatibility_date": "2026-04-01"})
    http.post(
        f"accounts/{emulator.account.account_id}/workers/scripts/{script}/versions",
        headers={"authorization": f"Bearer {emulator.api_token}"},
        files={
            "metadata": (
                None,
                '{"main_module":"main.js","compatibility_date":"2026-04-01"}',
                "application/json",
            ),
            "main.js": ("main.js", MODULE["main.js"], "application/javascript+module"),
        },
    ).raise_for_status()
    with pytest.raises(errors.VersionNotDeployed):
        api.workers.patch_settings(script, [])


def test_secrets_addresses_and_deletion(api: LaneClient) -> None:
    """A Worker gets a secret and an address without previews; a bound one is deleted by force."""
    script, other = new_name(), new_name()
    dated = {"compatibility_date": "2026-04-01"}
    api.workers.upload(script, "main.js", MODULE, dated)
    api.workers.put_secret(script, "ADMIN", "whsec_x")
    assert names(api.workers.settings(script).bindings) == {"ADMIN"}
    assert api.workers.account_subdomain() == "d1fleet"
    answer = api.workers.set_script_subdomain(script, enabled=True)
    assert answer == api.workers.script_subdomain(script)
    assert (answer.enabled, answer.previews_enabled) == (True, False)
    bound = {**dated, "bindings": [{"type": "service", "name": "S", "service": script}]}
    api.workers.upload(other, "main.js", MODULE, bound)
    with pytest.raises(errors.InUse):
        api.workers.delete(script)
    assert api.workers.delete(script, force=True) is True
    assert api.workers.delete(script) is False


def test_an_account_without_a_subdomain_says_what_to_do(
    api: LaneClient, emulator: Emulator
) -> None:
    """Code 10063 becomes a sentence about the dashboard."""
    emulator.account.subdomain = None
    try:
        with pytest.raises(errors.NoWorkersSubdomain, match="dashboard"):
            api.workers.account_subdomain()
    finally:
        emulator.account.subdomain = "d1fleet"


def test_the_token_and_its_accounts(api: LaneClient, emulator: Emulator) -> None:
    """A good token is active and sees its account."""
    assert api.account.verify_token().status == "active"
    assert [account.id for account in api.account.accounts()] == [emulator.account.account_id]


def test_a_wrong_token_says_where_to_put_a_right_one(
    emulator: Emulator, http: httpx.Client, budget: Any, clock: Any
) -> None:
    """401 with code 10000 is a person's matter."""
    client = CloudflareClient(
        http,
        account_id=emulator.account.account_id,
        token="wrong-token",
        budget=budget,
        clock=clock,
    )
    with pytest.raises(errors.BadToken, match="cloudflare-token"):
        client.on(Lane.REPAIR).d1.get("x")
    with pytest.raises(errors.BadToken):
        client.on(Lane.REPAIR).account.verify_token()


def test_the_limit_closes_the_budget(
    api: LaneClient, http: httpx.Client, budget: Any, clock: Any
) -> None:
    """The call over Cloudflare's limit gets a 429, and the budget closes for as long as it says."""
    door = "http://emulator.test/__emulator/limits"
    http.post(door, json={"calls": 3, "window": 10}).raise_for_status()
    try:
        for _ in range(3):
            api.d1.get("nobody")
        assert [remaining for remaining, _, _ in budget.observed] == [2, 1, 0]
        assert {quota for _, _, quota in budget.observed} == {3}
        with pytest.raises(errors.RateLimited):
            api.d1.get("nobody")
        ((until, reason),) = budget.closed
        assert 0 < (until - clock()).total_seconds() <= 10
        assert "get database" in reason
    finally:
        http.post(door, json={"calls": 1200, "window": 300}).raise_for_status()
