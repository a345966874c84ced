"""The admin client against the real router and shard, run by workerd in the emulator."""

import base64
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from ulid import ULID

from local.cloudflare.emulator import Emulator
from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.domain.budget import Lane
from shared.domain.names import binding_name
from shared.domain.worker import Role, bindings_hash
from shared.router import errors
from shared.router.client import RouterClient
from shared.router.models import DirectoryRow
from shared.usecases.init_fleet import DIRECTORY_SCHEMA
from shared.usecases.worker_code import WorkerCode
from tests.support.budget import Free

pytestmark = pytest.mark.workerd

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
UID = "uid-of-this-fleet"
ROUTER, SHARD = "acme-pool", "acme-pool-1"


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Stack:
    """Hold a running router with one shard and its databases by binding."""

    url: str
    databases: dict[str, str]
    client: Callable[..., RouterClient]


def texts(script: str, generation: int) -> list[dict[str, Any]]:
    values = {
        "D1FLEET_GENERATION": str(generation),
        "D1FLEET_FLEET_UID": UID,
        "D1FLEET_SCRIPT": script,
        "D1FLEET_CODE": "c0de",
    }
    return [{"type": "plain_text", "name": n, "text": t} for n, t in values.items()]


def upload(api: LaneClient, script: str, role: Role, bindings: list[dict[str, Any]]) -> None:
    WorkerCode().upload(api.workers, role, script, bindings, "test")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: Any) -> Iterator[Stack]:
    with (
        Emulator(tmp_path_factory.mktemp("emulator")).start() as emulator,
        httpx.Client(base_url=emulator.base_url) as http,
        httpx.Client() as plain,
    ):
        api = CloudflareClient(
            http,
            account_id=emulator.account.account_id,
            token=emulator.api_token,
            budget=Free(),
            clock=now,
        ).on(Lane.REPAIR)
        directory = api.d1.create("acme-directory", "weur").uuid
        api.d1.query(directory, DIRECTORY_SCHEMA)
        databases = {
            binding_name(str(ULID())): api.d1.create(f"acme-{n}", "weur").uuid for n in range(3)
        }
        bound = [
            {"type": "d1", "name": name, "database_id": uuid} for name, uuid in databases.items()
        ]
        upload(api, SHARD, Role.SHARD, [*bound, *texts(SHARD, 7)])
        upload(
            api,
            ROUTER,
            Role.ROUTER,
            [
                *texts(ROUTER, 3),
                {"type": "d1", "name": "D1FLEET_DIRECTORY", "database_id": directory},
                {"type": "secret_text", "name": "D1FLEET_ADMIN_SECRET", "text": SECRET},
                {"type": "service", "name": "SHARD_1", "service": SHARD},
            ],
        )
        api.workers.set_script_subdomain(ROUTER, enabled=True)
        assert emulator.settle()
        url = f"{emulator.workers_url}/{ROUTER}"

        def client(**changes: Any) -> RouterClient:
            settings: dict[str, Any] = {
                "url": url,
                "script": ROUTER,
                "fleet_uid": UID,
                "secret": lambda: SECRET,
                "clock": now,
            }
            return RouterClient(plain, **(settings | changes))

        yield Stack(url, databases, client)


@pytest.fixture
def router(stack: Stack) -> RouterClient:
    return stack.client()


def row(stack: Stack, tenant: str, index: int, **changes: Any) -> DirectoryRow:
    binding, uuid = list(stack.databases.items())[index]
    fields: dict[str, Any] = {
        "tenant_id": tenant,
        "shard": SHARD,
        "binding": binding,
        "database_uuid": uuid,
        "state": "active",
        "schema_version": "",
        "version": 1,
    }
    return DirectoryRow(**(fields | changes))


def test_router_and_shard_say_what_they_serve(stack: Stack, router: RouterClient) -> None:
    """The running Workers name generation, code and bindings as they were published."""
    served, own = router.status(SHARD), router.status()
    assert served is not None
    assert own is not None
    assert (served.generation, served.bindings, served.code) == (7, 3, "c0de")
    assert served.bindings_hash == bindings_hash(stack.databases)
    assert (own.script, own.generation, own.shards) == (ROUTER, 3, (SHARD,))
    assert router.status("acme-pool-2") is None


def test_a_tenant_is_routed_and_seen(stack: Stack, router: RouterClient) -> None:
    """An upserted row is applied once, found again, and its database answers the probe."""
    wanted = row(stack, "org_1", 0)
    (first,), (again,) = router.upsert([wanted]), router.upsert([wanted])
    assert (first.applied, again.applied) == (True, False)
    assert router.get(["org_1", "nobody"]) == [wanted]
    probe = router.probe("org_1")
    assert (probe.binding, probe.database_uuid) == (wanted.binding, wanted.database_uuid)
    assert probe.generation == 7


def test_an_older_row_changes_nothing(stack: Stack, router: RouterClient) -> None:
    """What comes late is answered with what stands."""
    router.upsert([row(stack, "org_2", 1, version=5)])
    (standing,) = router.upsert([row(stack, "org_2", 1, version=4, state="closed")])
    assert (standing.applied, standing.version, standing.state) == (False, 5, "active")


def test_a_second_owner_is_refused(stack: Stack, router: RouterClient) -> None:
    """The witness names tenant and database."""
    router.upsert([row(stack, "org_2", 1, version=5)])
    claim = row(stack, "org_3", 1)
    with pytest.raises(errors.OwnerConflict) as error:
        router.upsert([claim])
    assert error.value.conflicts == (("org_3", claim.database_uuid),)
    assert router.get(["org_3"]) == []


def test_the_whole_directory_can_be_read(stack: Stack, router: RouterClient) -> None:
    """Pages of any size hold every row once, the closed too; the witness knows the owners."""
    wanted = {each: DirectoryRow(tenant_id=each, state="closed", version=1) for each in "xyz"}
    router.upsert([*wanted.values(), row(stack, "org_1", 0)])
    found: list[DirectoryRow] = []
    after: str | None = "org_"
    while after is not None:
        page = router.list(after, 2)
        found += page.rows
        after = page.next
    assert [each.tenant_id for each in found] == sorted({each.tenant_id for each in found})
    assert {each.tenant_id: each for each in found if each.tenant_id in wanted} == wanted
    (owner,) = router.owners([stack.databases[next(iter(stack.databases))], "uuid-of-nobody"])
    assert owner.tenant_id == "org_1"


def test_who_is_not_ready_says_so(stack: Stack, router: RouterClient) -> None:
    """An unknown tenant, a suspended one, and one on a shard that is not there yet."""
    router.upsert([row(stack, "org_4", 2, shard="acme-pool-9")])
    for tenant in ("nobody", "org_4"):
        with pytest.raises(errors.TenantNotReady) as error:
            router.probe(tenant)
        assert error.value.retry_after == 2


def test_migrations_apply_once_and_say_where_they_fail(stack: Stack, router: RouterClient) -> None:
    """Files apply in order, again is nothing, wrong SQL names file and statement."""
    binding = list(stack.databases)[2]
    first = ("0001_init.sql", ["CREATE TABLE notes (text TEXT)"])
    wrong = ("0002_bad.sql", ["CREATE TABLE more (a)", "SELEC 1"])
    result = router.migrate(SHARD, binding, "d1_migrations", [first])
    assert (result.applied, result.ledger) == (("0001_init.sql",), ("0001_init.sql",))
    assert router.migrate(SHARD, binding, "d1_migrations", [first]).applied == ()
    with pytest.raises(errors.MigrationFailed, match="SELEC") as error:
        router.migrate(SHARD, binding, "d1_migrations", [first, wrong])
    assert (error.value.file, error.value.statement) == ("0002_bad.sql", 1)
    assert router.migrate(SHARD, binding, "d1_migrations", []).ledger == ("0001_init.sql",)
    (inspection,) = router.inspect(SHARD, [binding], "d1_migrations")
    assert inspection.schema_version == "0001_init.sql"
    assert inspection.size is not None
    assert inspection.size > 0


def test_reads_see_one_state_and_change_none(stack: Stack, router: RouterClient) -> None:
    """Rows of several statements come as lists; whatever could write is refused."""
    binding = next(iter(stack.databases))
    schema = ("0001_a.sql", ["CREATE TABLE a (x, y)", "INSERT INTO a VALUES (1, 'one'), (2, NULL)"])
    router.migrate(SHARD, binding, "d1_migrations", [schema])
    rows, tables = router.read(
        SHARD, binding, ["SELECT x, y FROM a ORDER BY x", "PRAGMA table_info('a')"]
    )
    assert rows == [[1, "one"], [2, None]]
    assert [name for _, name, *_ in tables] == ["x", "y"]
    for statement in ("DELETE FROM a", "SELECT 1; DELETE FROM a", "SELEC 1"):
        with pytest.raises(errors.RouterRefused):
            router.read(SHARD, binding, [statement])
    assert router.read(SHARD, binding, ["SELECT count(*) FROM a"]) == [[[2]]]


def test_a_binding_that_is_not_served_yet(router: RouterClient) -> None:
    """A database of a later publish is a matter of time."""
    with pytest.raises(errors.BindingMissing):
        router.migrate(SHARD, binding_name(str(ULID())), "d1_migrations", [])
    with pytest.raises(errors.ShardUnknown):
        router.migrate("acme-pool-2", binding_name(str(ULID())), "d1_migrations", [])


@pytest.mark.parametrize("stranger", [{"fleet_uid": "another"}, {"script": "other-pool"}])
def test_another_fleet_is_refused(stranger: dict[str, str], stack: Stack) -> None:
    """A cloned stack can't touch the fleet whose router it finds."""
    with pytest.raises(errors.WrongFleet, match="must not touch"):
        stack.client(**stranger).get(["org_1"])


def test_a_wrong_secret_and_a_wrong_clock_are_told(stack: Stack) -> None:
    """Either is 401, and the reason names both."""
    other = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    for changes in ({"secret": lambda: other}, {"clock": lambda: now() - timedelta(minutes=6)}):
        with pytest.raises(errors.SignatureRefused, match="this clock right"):
            stack.client(**changes).status()


def test_an_address_where_no_router_is(stack: Stack) -> None:
    """A shard has no door of its own, and an unknown script no Worker."""
    for script in (SHARD, "nobody"):
        client = stack.client(url=stack.url.removesuffix(ROUTER) + script)
        with pytest.raises((errors.NoAdminDoor, errors.RouterUnavailable)):
            client.status()
    with pytest.raises(errors.RouterUnavailable):
        stack.client(url="http://127.0.0.1:9").status()
