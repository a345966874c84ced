"""Pool Workers that somebody deploys over, rolls out, deletes or changes are found and mended."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import cloudflare
import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.aws.runs import Runs
from shared.domain.database import DatabaseStatus
from shared.domain.names import shard_script
from shared.domain.worker_watch import Trouble
from shared.router.client import RouterClient
from shared.settings import Settings
from shared.usecases.after_sweep import AfterSweep
from shared.usecases.findings import KeepFindings
from shared.usecases.look_after_workers import LookAfterWorkers, WorkersReport
from shared.usecases.push_migrations import push_migrations
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs
from shared.usecases.sweep import Sweep, SweepReport
from tests.usecases.conftest import MIGRATIONS
from tests.usecases.killing import Killed
from tests.usecases.test_signup_path import fill_pool, ready
from tests.usecases.vandals import HELLO, MODULE, Account
from tests.usecases.world import World

pytestmark = pytest.mark.workerd

MOST_EFFECTS = 120
FOREIGN_SECRET = "of somebody else: ä \u2028 byte for byte"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Shards that are soon full, so that there are two."""
    return settings.model_copy(update={"shard_capacity": 3})


@pytest.fixture
def account(world: World, emulator: Emulator, tmp_path: Path) -> Iterator[Account]:
    """A fleet with one tenant, seen by others through the official SDK."""
    column = {"0002_when.sql": b"ALTER TABLE notes ADD COLUMN created_at TEXT;"}
    both = MIGRATIONS | column
    push_migrations(world.outside.migrations, both, pushed_by="test", now=world.clock)
    fill_pool(world)
    with (
        httpx.Client() as http,
        cloudflare.Cloudflare(
            api_token=emulator.api_token, base_url=emulator.base_url, max_retries=0
        ) as sdk,
    ):
        account = Account(world, emulator, sdk, tmp_path, http)
        account.tenants("one")
        assert account.mend(minutes=1).sightings == []
        yield account


@pytest.fixture
def shard(account: Account) -> str:
    return account.shard_of("one")


def put_foreign_things(account: Account, script: str) -> str:
    """Bind a database of somebody else's, a text and a secret to a pool Worker."""
    made = account.sdk.d1.database.create(account_id=account.id, name=f"{script}-foreign")
    assert made.uuid is not None
    account.edit(
        script,
        {"type": "d1", "name": "FOREIGN_DB", "id": made.uuid},
        {"type": "plain_text", "name": "FOREIGN_TEXT", "text": "a text \u2028"},
    )
    account.secret(script, "FOREIGN_SECRET", FOREIGN_SECRET)
    return made.uuid


def assert_foreign_things_are_kept(account: Account, script: str, uuid: str) -> None:
    database, text, secret = (
        account.value_of(script, f"FOREIGN_{name}") or {} for name in ("DB", "TEXT", "SECRET")
    )
    assert database.get("database_id") == uuid
    assert text.get("text") == "a text \u2028"
    assert secret.get("text") == FOREIGN_SECRET


def assert_all_is_well(account: Account) -> None:
    """The tenant reads what it wrote, one version has it all, and the next look finds nothing."""
    answer = account.notes("one")
    assert [note["text"] for note in answer.json()] == ["of one"]
    for script in (account.router, account.shard_of("one")):
        ((version, share),) = account.shares(script)
        assert (version, share) == (account.newest(script), 100)
    report = account.mend()
    assert (report.sightings, report.overwritten, report.unanswered) == ([], [], [])


def kinds(report: Any) -> list[tuple[str, str, str]]:
    return [(each.kind, each.subject, each.repair) for each in report.sightings]


def test_looking_at_healthy_workers_costs_no_call(
    account: Account, stats: Callable[[], dict[str, Any]]
) -> None:
    """While all is well the REST API is not asked, however often one looks."""
    before = stats()["total"]
    for _ in range(3):
        assert account.mend().sightings == []
    assert stats()["total"] == before


def test_a_deployment_over_a_shard_is_undone(account: Account, shard: str) -> None:
    """After `wrangler deploy` code and bindings are ours again; what others had there is kept."""
    uuid = put_foreign_things(account, shard)
    databases = account.databases(shard)
    account.wrangler(shard, "deploy")
    assert account.emulator.settle()
    assert account.notes("one").status_code == 503
    report = account.sweep()
    assert kinds(report) == [("worker_overwritten", shard, "upload")]
    assert report.overwritten == [shard]
    assert account.sweep(0).overwritten == []  # it is asked for once, whoever looks
    account.world.run()
    assert account.emulator.settle()
    assert account.databases(shard) == databases
    assert_foreign_things_are_kept(account, shard, uuid)
    subdomain = account.sdk.workers.scripts.subdomain.get(shard, account_id=account.id)
    assert not subdomain.enabled
    assert_all_is_well(account)


def test_a_deployment_over_the_router_is_undone(account: Account) -> None:
    """A router that became somebody's Worker is ours again, with secret, directory and shards."""
    uuid = put_foreign_things(account, account.router)
    account.wrangler(account.router, "deploy")
    assert account.emulator.settle()
    assert account.notes("one").status_code == 500
    assert kinds(account.mend()) == [("worker_overwritten", account.router, "upload")]
    assert_foreign_things_are_kept(account, account.router, uuid)
    assert_all_is_well(account)


def test_a_gradual_rollout_is_ended(account: Account, shard: str) -> None:
    """A version of somebody's that gets a part of the requests gets none, once a look met it."""
    uuid = put_foreign_things(account, shard)
    ours = account.newest(shard)
    account.wrangler(shard, "versions", "upload")
    theirs = account.newest(shard)
    account.wrangler(shard, "versions", "deploy", f"{ours}@50%", f"{theirs}@50%", "--yes")
    looks = (account.mend() for _ in range(30))
    met = next(report for report in looks if report.sightings)
    assert kinds(met) == [("worker_rollout", shard, "republish")]
    assert_foreign_things_are_kept(account, shard, uuid)
    assert_all_is_well(account)


def test_a_small_rollout_is_ended_once_it_is_suspected(account: Account, shard: str) -> None:
    """A version with few of the requests may not be met; who saw it in the settings says so."""
    ours = account.newest(shard)
    account.wrangler(shard, "versions", "upload")
    account.deploy(shard, (ours, 99.99), (account.newest(shard), 0.01))
    assert account.mend().sightings == []
    world = account.world
    world.clock.pass_(minutes=6)
    look = LookAfterWorkers(world.control, world.outside)
    suspects = {shard, account.router}
    assert kinds(look("night", suspects=suspects)) == [("worker_rollout", shard, "republish")]
    world.run()
    assert account.emulator.settle()
    assert_all_is_well(account)


def test_a_rollback_is_undone(account: Account, shard: str) -> None:
    """When somebody deploys an older version again, no database that was added since is lost."""
    versions = list(account.sdk.workers.scripts.versions.list(shard, account_id=account.id))
    oldest = versions[-1].id
    assert oldest not in {None, versions[0].id}
    databases = account.databases(shard)
    account.deploy(shard, (str(oldest), 100))
    assert kinds(account.mend()) == [("worker_rollout", shard, "republish")]
    assert account.databases(shard) == databases
    assert_all_is_well(account)


def test_a_version_that_waits_for_its_deployment_stops_no_publish(
    account: Account, shard: str
) -> None:
    """The next publish goes over an uploaded version, which runs nowhere, before or after."""
    uuid = put_foreign_things(account, shard)
    databases = account.databases(shard)
    account.wrangler(shard, "versions", "upload")
    control = account.world.control
    worker = control.state.worker(shard)
    assert worker is not None
    control.state.commit(Change(worker, worker.to_publish(control.now())))
    control.queues.wake(shard, "t")
    with account.watched("one") as seen:
        account.world.run()
    assert set(seen["one"]) == {200}
    assert account.databases(shard) == databases
    assert_foreign_things_are_kept(account, shard, uuid)
    assert_all_is_well(account)


def test_a_deleted_shard_comes_back_and_others_never_notice(account: Account, shard: str) -> None:
    """Its tenants get a typed error until it is back with all bindings; no other request fails."""
    account.tenants("two", "three", "four")
    other = next(each for each in ("two", "three", "four") if account.shard_of(each) != shard)
    databases, bound = account.databases(shard), account.newest(account.router)
    with account.watched("one", other) as seen:
        account.sdk.workers.scripts.delete(shard, account_id=account.id, force=True)
        report = account.sweep()
        assert account.notes("one").json()["error"]["name"] == "TenantNotReady"
        account.world.run()
        assert account.emulator.settle()
    assert kinds(report) == [("worker_missing", shard, "recreate")]
    assert account.newest(account.router) != bound
    assert set(seen["one"]) == {200, 503}
    assert set(seen[other]) == {200}
    assert account.databases(shard) == databases
    assert_all_is_well(account)


def test_killed_while_a_shard_comes_back(account: Account, shard: str) -> None:
    """Whatever side effect it dies after, the shard is back with all its bindings in the end."""
    world, databases = account.world, account.databases(shard)
    done: list[str] = []
    for number in range(1, MOST_EFFECTS, 5):
        account.sdk.workers.scripts.delete(shard, account_id=account.id, force=True)
        assert account.emulator.settle()
        world.clock.pass_(minutes=6)
        world.executioner.arm(number)
        try:
            Sweep(world.control, world.outside)("sweep")
        except Killed:
            Sweep(world.control, world.outside)("the next sweep")
        world.run()
        done = list(world.executioner.effects)
        world.executioner.arm(None)
        assert account.emulator.settle()
        assert account.databases(shard) == databases
        assert account.notes("one").status_code == 200
        if len(done) < number:
            break
    assert 10 <= len(done) < MOST_EFFECTS
    assert_all_is_well(account)


def test_a_deleted_router_comes_back(account: Account) -> None:
    """The router is made anew with its address, and the app's binding reaches it again."""
    account.sdk.workers.scripts.delete(account.router, account_id=account.id, force=True)
    assert kinds(account.mend()) == [("worker_missing", account.router, "recreate")]
    assert_all_is_well(account)


def test_what_somebody_changes_on_the_router_is_put_right(account: Account) -> None:
    """Secret set, secret deleted, address switched off: each is mended, and no tenant notices."""
    scripts, name = account.sdk.workers.scripts, "D1FLEET_ADMIN_SECRET"
    with account.watched("one") as seen:
        account.secret(account.router, name, "whsec_" + "WFlZ" * 10)
        assert kinds(account.mend()) == [("admin_secret_rotated", account.router, "republish")]
        scripts.secrets.delete(name, account_id=account.id, script_name=account.router)
        assert kinds(account.mend()) == [("admin_secret_rotated", account.router, "republish")]
        scripts.subdomain.create(
            account.router, account_id=account.id, enabled=False, previews_enabled=False
        )
        assert kinds(account.mend()) == [("router_unreachable", account.router, "upload")]
    assert set(seen["one"]) == {200}
    assert_all_is_well(account)


def test_a_secret_that_stays_refused_is_said(account: Account) -> None:
    """When putting it again does not help, it is put no more, and a person is told what to do."""
    world = account.world
    other = "whsec_" + "WFlZ" * 10

    def router() -> RouterClient:
        client = world.outside.router()
        client._secret = lambda: other
        return client

    broken = dataclasses.replace(world, outside=dataclasses.replace(world.outside, router=router))
    stubborn = dataclasses.replace(account, world=broken)
    assert kinds(stubborn.sweep()) == [("admin_secret_rotated", account.router, "republish")]
    for _ in range(20):
        if (item := world.queues.next()) is not None:
            broken.deliver(*item)
    before = account.newest(account.router)
    for _ in range(2):
        report = stubborn.sweep()
        assert kinds(report) == [("admin_secret_rotated", account.router, "")]
        assert "d1fleet init" in report.sightings[0].summary
    assert account.newest(account.router) == before


def test_a_service_binding_that_was_removed_is_bound_again(account: Account) -> None:
    """A router that lost the way to a shard finds it again."""
    account.edit(account.router, without="SHARD_1")
    assert account.emulator.settle()
    assert account.notes("one").status_code == 503
    assert kinds(account.mend()) == [("generation_not_live", account.router, "republish")]
    assert_all_is_well(account)


def test_code_that_was_edited_in_place_is_replaced(account: Account, shard: str) -> None:
    """A shard that does not answer for minutes is uploaded again, though its settings are right."""
    account.sdk.workers.scripts.content.update(
        shard,
        account_id=account.id,
        metadata={"main_module": "i.js"},
        files=[("i.js", HELLO.encode(), MODULE)],
    )
    first = account.mend()
    assert (first.sightings, first.unanswered) == ([], [shard])
    assert kinds(account.mend()) == [("worker_unanswered", shard, "upload")]
    assert_all_is_well(account)


def test_another_fleets_worker_is_left_alone(account: Account, shard: str) -> None:
    """A script that carries another fleet's uid is reported, and not touched."""
    account.edit(shard, {"type": "plain_text", "name": "D1FLEET_FLEET_UID", "text": "another"})
    before = account.newest(shard)
    report = account.mend()
    assert kinds(report) == [("worker_of_another_fleet", shard, "")]
    assert report.overwritten == []
    assert account.newest(shard) == before


def test_a_dry_look_and_a_policy_leave_all_as_it_is(account: Account, shard: str) -> None:
    """A dry look tells what it would do; what may not mend itself is sighted without a repair."""
    account.sdk.workers.scripts.delete(shard, account_id=account.id, force=True)
    assert account.emulator.settle()
    world = account.world
    world.clock.pass_(minutes=6)
    before = world.control.state.worker(shard)
    dry = LookAfterWorkers(world.control, world.outside)("dry", real=False)
    assert kinds(dry) == [("worker_missing", shard, "recreate")]
    assert (dry.marked, world.queues.heap) == ([], [])
    forbidden = LookAfterWorkers(world.control, world.outside, may_mend=lambda _: False)
    assert kinds(forbidden("night")) == [("worker_missing", shard, "")]
    world.run()
    assert world.control.state.worker(shard) == before
    with pytest.raises(cloudflare.NotFoundError):
        account.settings(shard)


def test_a_shard_that_comes_drops_no_request(account: Account, shard: str) -> None:
    """While a shard is opened, filled and bound, requests to the tenants of the others all pass."""
    second = shard_script(account.world.control.settings.fleet, 2)
    with account.watched("one") as seen:
        account.tenants("two", "three", "four")
        assert account.emulator.settle()
    assert second in {account.shard_of(each) for each in ("two", "three", "four")}
    assert set(seen["one"]) == {200}
    assert ready(account.world) == account.world.control.settings.pool_target
    databases = account.world.control.state.databases("weur", DatabaseStatus.CLAIMED)
    assert len(list(databases)) == 4


def test_what_a_sweep_tells_of_a_sweep_ends(account: Account, shard: str) -> None:
    """The finding of a Worker that was deployed over opens with one sweep, is over by the next."""
    control = account.world.control
    runs = Runs(control.state.table, boto3.client("s3"), control.settings.bucket_name)
    told = KeepFindings(control), runs, dict
    after = AfterSweep(
        Reconcile(control, account.world.outside, *told),
        SettleRepairs(control, account.world.outside, *told),
    )

    def standing(report: SweepReport) -> list[str]:
        after(report, "t", lambda: 0)
        return [one.subject for one in KeepFindings(control).standing([Trouble.OVERWRITTEN])]

    account.put(shard, HELLO)
    report = account.sweep()
    assert standing(report) == [shard]
    assert standing(account.sweep(0)) == [shard], "it is not published yet: nobody can tell"
    account.world.run()
    assert account.emulator.settle()
    assert standing(account.sweep()) == []


def test_only_what_was_seen_can_be_over() -> None:
    """A Worker that was skipped or did not answer keeps its findings open, and so all of a kind."""
    seen = WorkersReport()
    assert set(seen.resolvable({"acme-pool-1"})) == set(Trouble)
    for unseen in (WorkersReport(skipped=["acme-pool"]), WorkersReport(unanswered=["acme-pool"])):
        assert unseen.resolvable({"acme-pool", "acme-pool-1"}) == ()
        assert set(unseen.resolvable({"acme-pool-1"})) == set(Trouble)
