"""The official SDK as the judge: what it can't speak with is not Cloudflare's API."""

import cloudflare
import httpx
import pytest

from tests.emulator.api import Api

CODE = b"""export default { async fetch(_, env) {
  return Response.json([env.T, env.SECRET, (await env.DB.prepare("select a from t").all()).results])
} }"""
MODULE = "application/javascript+module"


@pytest.fixture
def account(live: Api) -> str:
    return live.emulator.account.account_id


def test_databases(sdk: cloudflare.Cloudflare, account: str) -> None:
    """Create, page, get, query, change and delete databases."""
    databases = sdk.d1.database
    made = [
        databases.create(account_id=account, name=f"sdk-{number}", primary_location_hint="weur")
        for number in range(12)
    ]
    listed = list(databases.list(account_id=account, name="sdk-", per_page=10))
    assert [item.uuid for item in listed] == [item.uuid for item in made]
    uuid = made[0].uuid
    assert uuid is not None
    found = databases.get(uuid, account_id=account)
    assert (found.name, found.num_tables) == ("sdk-0", 0)

    sql = "create table t(a); insert into t values ('x'); select * from t"
    answers = list(databases.query(uuid, account_id=account, sql=sql))
    assert [answer.results for answer in answers] == [[], [], [{"a": "x"}]]
    assert answers[1].meta is not None
    assert answers[1].meta.changes == 1
    (raw,) = databases.raw(
        uuid, account_id=account, sql="select a from t where a = ?", params=["x"]
    )
    assert raw.results is not None
    assert (raw.results.columns, raw.results.rows) == (["a"], [["x"]])
    changed = databases.edit(uuid, account_id=account, read_replication={"mode": "auto"})
    assert changed.read_replication is not None
    assert changed.read_replication.mode == "auto"
    bookmark = databases.time_travel.get_bookmark(uuid, account_id=account).bookmark
    assert bookmark

    for item in made:
        assert item.uuid is not None
        databases.delete(item.uuid, account_id=account)
    assert list(databases.list(account_id=account, name="sdk-")) == []


def test_errors(sdk: cloudflare.Cloudflare, account: str, live: Api) -> None:
    """Raise the SDK's own errors with Cloudflare's codes."""
    databases = sdk.d1.database
    uuid = databases.create(account_id=account, name="sdk-errors").uuid
    assert uuid is not None
    with pytest.raises(cloudflare.BadRequestError) as duplicate:
        databases.create(account_id=account, name="sdk-errors")
    assert duplicate.value.errors[0].code == 7502
    with pytest.raises(cloudflare.NotFoundError) as missing:
        databases.get("00000000-0000-4000-8000-000000000000", account_id=account)
    assert missing.value.errors[0].code == 7404
    with pytest.raises(cloudflare.BadRequestError) as bad_sql:
        databases.query(uuid, account_id=account, sql="selec")
    assert bad_sql.value.errors[0].code == 7500
    with pytest.raises(cloudflare.PermissionDeniedError) as elsewhere:
        databases.list(account_id="f" * 32)
    assert elsewhere.value.errors[0].code == 7403
    with pytest.raises(cloudflare.AuthenticationError) as stranger:
        sdk.with_options(api_token="wrong").d1.database.list(account_id=account)
    assert stranger.value.errors[0].code == 10000
    fault = {"route": "*", "do": "status", "status": 429, "seconds": 3}
    live.control.post("/faults", json=[fault])
    with pytest.raises(cloudflare.RateLimitError) as limited:
        databases.list(account_id=account)
    assert limited.value.response.headers["retry-after"] == "3"


def test_workers(sdk: cloudflare.Cloudflare, account: str, live: Api) -> None:
    """Upload a Worker, set a secret, change its settings, and see it run with all of them."""
    uuid = live.database("sdk-worker")
    live.query(uuid, "create table t(a); insert into t values (1)")
    scripts = sdk.workers.scripts
    made = scripts.update(
        "sdk-worker",
        account_id=account,
        metadata={
            "main_module": "i.js",
            "compatibility_date": "2026-04-01",
            "bindings": [{"type": "d1", "name": "DB", "id": uuid}],
        },
        files=[("i.js", CODE, MODULE)],
    )
    assert made.id == "sdk-worker"
    scripts.secrets.update(
        "sdk-worker", account_id=account, name="SECRET", text="hush", type="secret_text"
    )
    changed = scripts.script_and_version_settings.edit(
        "sdk-worker",
        account_id=account,
        settings={
            "bindings": [
                {"type": "inherit", "name": "DB"},
                {"type": "inherit", "name": "SECRET"},
                {"type": "plain_text", "name": "T", "text": "new"},
            ]
        },
    )
    assert changed.bindings is not None
    assert [binding.name for binding in changed.bindings] == ["DB", "SECRET", "T"]
    shown = scripts.script_and_version_settings.get("sdk-worker", account_id=account)
    assert shown.compatibility_date == "2026-04-01"
    assert scripts.subdomain.create("sdk-worker", account_id=account, enabled=True).enabled
    assert live.emulator.settle()
    assert live.worker("sdk-worker").json() == ["new", "hush", [{"a": 1}]]

    versions = list(scripts.versions.list("sdk-worker", account_id=account))
    assert len(versions) == 3
    # The SDK's list looks for `items`, where the API has `deployments`.
    deployed = live.result("GET", "/workers/scripts/sdk-worker/deployments")["deployments"]
    assert deployed[0]["versions"][0]["version_id"] == versions[0].id
    scripts.deployments.create(
        "sdk-worker",
        account_id=account,
        strategy="percentage",
        versions=[{"version_id": str(versions[1].id), "percentage": 100}],
    )
    assert live.emulator.settle()
    assert live.worker("sdk-worker").json() == [None, "hush", [{"a": 1}]]
    assert [item.id for item in scripts.list(account_id=account) if item.id == "sdk-worker"]
    with pytest.raises(cloudflare.BadRequestError) as newer:
        scripts.secrets.delete("SECRET", account_id=account, script_name="sdk-worker")
    assert newer.value.errors[0].code == 10215
    scripts.deployments.create(
        "sdk-worker",
        account_id=account,
        strategy="percentage",
        versions=[{"version_id": str(versions[0].id), "percentage": 100}],
    )
    scripts.secrets.delete("SECRET", account_id=account, script_name="sdk-worker")
    scripts.delete("sdk-worker", account_id=account)
    with pytest.raises(cloudflare.NotFoundError) as gone:
        scripts.script_and_version_settings.get("sdk-worker", account_id=account)
    assert gone.value.errors[0].code == 10007


def test_in_the_process(quiet: Api) -> None:
    """Speak to the app through a WSGI transport, without a socket."""
    transport = httpx.WSGITransport(quiet.emulator.app)
    with cloudflare.Cloudflare(
        api_token=quiet.emulator.api_token,
        base_url="http://emulator/client/v4",
        http_client=httpx.Client(transport=transport),
    ) as client:
        account = quiet.emulator.account.account_id
        assert client.accounts.tokens.verify(account_id=account).status == "active"
        assert client.user.tokens.verify().status == "active"
        assert client.d1.database.create(account_id=account, name="one").name == "one"
