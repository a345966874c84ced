"""What goes wrong on the way, and where it ends."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import boto3
import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.names import router_script, shard_script
from shared.domain.tenant import TenantStatus
from shared.usecases.advance_database import BAD_TOKEN_WAIT
from shared.usecases.fill_pool import fill_pools
from shared.usecases.push_migrations import push_migrations
from shared.usecases.retry_tenant import RetryTenant
from shared.usecases.sweep import Sweep
from tests.support.events import CREATED_AT, signup
from tests.usecases.test_signup_path import accept, fill_pool, ready, status
from tests.usecases.world import World

CREATE = "POST /accounts/{a}/d1/database"
PATCH = "PATCH /accounts/{a}/workers/scripts/{n}/settings"


@pytest.fixture
def faults(emulator: Emulator) -> Callable[..., None]:
    def set_faults(*some: dict[str, Any]) -> None:
        url = f"{emulator.control_url}/faults"
        httpx.post(url, json=list(some)).raise_for_status()

    return set_faults


def shard(world: World) -> str:
    return shard_script(world.control.settings.fleet, 1)


def databases_on_cloudflare(world: World) -> int:
    pages = world.outside.cloudflare().on(Lane.REPAIR).d1.pages()
    prefix = f"{world.control.settings.fleet}-0"
    return sum(each.name.startswith(prefix) for page in pages for each in page.databases)


@pytest.mark.parametrize(
    "fault",
    [
        {"route": CREATE, "nth": 1, "do": "lose_answer"},
        {"route": CREATE, "nth": 1, "do": "status", "status": 503},
        {"route": CREATE, "nth": 1, "do": "status", "status": 429, "seconds": 2},
        {"route": PATCH, "nth": 1, "do": "lose_answer"},
        {"route": PATCH, "nth": 1, "do": "status", "status": 500},
        {"route": "GET /accounts/{a}/workers/scripts/{n}/settings", "nth": 2, "do": "lose_answer"},
    ],
    ids=lambda fault: f"{fault['do']} {fault['route'].split()[0]} {fault.get('status', '')}",
)
def test_a_fault_on_the_way_leaves_one_database(
    world: World, faults: Callable[..., None], fault: dict[str, Any]
) -> None:
    """Whatever fails once, the tenant goes live and Cloudflare has exactly its databases."""
    faults(fault)
    accept(world).signup(signup("org_a"), body_sha256="a", trace="t")
    world.run(lambda: status(world, "org_a") is TenantStatus.ACTIVE)
    world.run(lambda: ready(world) == world.control.settings.pool_target)
    assert databases_on_cloudflare(world) == 1 + world.control.settings.pool_target


def test_a_full_account_fails_the_tenant_with_what_to_do(world: World, emulator: Emulator) -> None:
    """At the account's limit the tenant fails with a reason, and a retry after mending succeeds."""
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    limit = {"databases": next(d1.pages()).total_count}
    httpx.post(f"{emulator.control_url}/limits", json=limit).raise_for_status()
    try:
        accept(world).signup(signup("org_full"), body_sha256="a", trace="t")
        world.run(lambda: status(world, "org_full") is TenantStatus.FAILED)
    finally:
        httpx.post(f"{emulator.control_url}/limits", json={"databases": 50_000}).raise_for_status()
    tenant = world.control.state.tenant("org_full")
    assert tenant is not None
    assert "limit" in (tenant.reason or "")
    RetryTenant(world.control, world.outside)("org_full", "t")
    world.run(lambda: status(world, "org_full") is TenantStatus.ACTIVE)


def test_a_mended_token_is_used_at_once_when_an_operator_says_so(
    world: World, emulator: Emulator
) -> None:
    """After `pool fill`, a database that was refused does not wait any longer; nor do tenants."""
    order = {"token": emulator.api_token, "groups": ["Account Settings Read"]}
    httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    try:
        accept(world).signup(signup("org_refused"), body_sha256="a", trace="t")
        world.run(lambda: status(world, "org_refused") is TenantStatus.FAILED)
    finally:
        order["groups"] = [*order["groups"], "D1 Write", "Workers Scripts Write"]
        httpx.post(f"{emulator.control_url}/tokens", json=order).raise_for_status()
    mended_at = world.clock()
    fill_pools(world.control, (), "t")
    RetryTenant(world.control, world.outside)("org_refused", "t")
    world.run(lambda: status(world, "org_refused") is TenantStatus.ACTIVE)
    assert world.clock() - mended_at < timedelta(seconds=BAD_TOKEN_WAIT / 2)


def test_tenants_that_failed_for_want_of_databases_go_on_by_themselves(
    world: World, emulator: Emulator
) -> None:
    """Once databases can be made again, the sweep sets those tenants going; nobody has to."""
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    limit = {"databases": next(d1.pages()).total_count}
    httpx.post(f"{emulator.control_url}/limits", json=limit).raise_for_status()
    try:
        accept(world).signup(signup("org_wait"), body_sha256="a", trace="t")
        world.run(lambda: status(world, "org_wait") is TenantStatus.FAILED)
        world.run()
    finally:
        httpx.post(f"{emulator.control_url}/limits", json={"databases": 50_000}).raise_for_status()
    for _ in range(2):
        world.clock.pass_(minutes=16)
        Sweep(world.control, world.outside)("sweep")
        world.run()
    assert status(world, "org_wait") is TenantStatus.ACTIVE


def test_a_migration_that_d1_refuses_stops_the_pool(world: World) -> None:
    """The pool says which file is wrong, holds nothing half-done, and fills once it is mended."""
    first = b"CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);"
    bad = {
        "0001_notes.sql": first,
        "0002_bad.sql": b"INSERT INTO notes SELECT no_such_function(1);",
    }
    push = {"now": world.clock, "pushed_by": "test", "trial": False}
    push_migrations(world.outside.migrations, bad, **push)
    world.queues.send([Message(kind="pool", id="weur")])
    world.run(lambda: world.control.pools.blocked("weur") is not None)
    world.run()
    blocked = world.control.pools.blocked("weur")
    assert blocked is not None
    assert "0002_bad.sql" in blocked.reason
    assert ready(world) == 0
    mended = bad | {"0002_bad.sql": b"INSERT INTO notes (text) VALUES ('mended');"}
    push_migrations(world.outside.migrations, mended, applied=lambda _: frozenset(), **push)
    world.control.pools.unblock("weur")
    world.queues.send([Message(kind="pool", id="weur")])
    world.run(lambda: ready(world) == world.control.settings.pool_target)
    versions = {
        each.schema_version for each in world.control.state.databases("weur", DatabaseStatus.READY)
    }
    assert versions == {"0002_bad.sql"}


def test_what_was_lost_is_found_by_the_sweep(world: World) -> None:
    """With every message gone, a sweep five minutes later sets all of it going again."""
    accept(world).signup(signup("org_lost"), body_sha256="a", trace="t")
    world.queues.heap.clear()
    world.clock.pass_(minutes=6)
    report = Sweep(world.control, world.outside)("sweep")
    assert report.tenants == 1
    world.run(lambda: status(world, "org_lost") is TenantStatus.ACTIVE)


def test_an_older_set_of_bindings_is_published_over(world: World, emulator: Emulator) -> None:
    """A publish of the past, committed late by somebody, is noticed and mended."""
    fill_pool(world)
    workers = world.outside.cloudflare().on(Lane.REPAIR).workers
    old = [each for each in workers.settings(shard(world)).bindings if each["type"] != "d1"]
    workers.patch_settings(shard(world), old, message="a zombie")
    assert emulator.settle()
    world.clock.pass_(minutes=5)
    report = Sweep(world.control, world.outside)("sweep")
    assert report.overwritten == [shard(world)]
    world.run()
    names = {each["name"] for each in workers.settings(shard(world)).bindings}
    assert sum(name.startswith("DB_") for name in names) == world.control.settings.pool_target
    accept(world).signup(signup("org_after"), body_sha256="a", trace="t")
    world.run(lambda: status(world, "org_after") is TenantStatus.ACTIVE)


def test_a_deleted_shard_is_uploaded_again(world: World, emulator: Emulator) -> None:
    """A pool Worker that somebody deleted comes back with all its bindings."""
    fill_pool(world)
    workers = world.outside.cloudflare().on(Lane.REPAIR).workers
    workers.delete(shard(world), force=True)
    assert emulator.settle()
    accept(world).signup(signup("org_b"), body_sha256="a", trace="t")
    world.clock.pass_(minutes=6)
    Sweep(world.control, world.outside)("sweep")
    world.run(lambda: status(world, "org_b") is TenantStatus.ACTIVE)


def test_a_deletion_cuts_the_access_and_keeps_the_data(world: World) -> None:
    """Deleted at the auth provider: closing, suspended in the directory, the database untouched."""
    fill_pool(world)
    accept(world).signup(signup("org_bye"), body_sha256="a", trace="t")
    world.run(lambda: status(world, "org_bye") is TenantStatus.ACTIVE)
    gone = signup(
        "org_bye",
        event_id="evt_gone",
        type="tenant.deleted",
        verb="tenant.removed",
        occurred_at=CREATED_AT + timedelta(days=1),
    )
    answer = accept(world).signup(gone, body_sha256="b", trace="t")
    assert answer.tenant_status == "closing"
    world.run()
    row = world.outside.router().get(["org_bye"])[0]
    assert row.state == "closing"
    tenant = world.control.state.tenant("org_bye")
    assert tenant is not None
    assert tenant.grace_ends_at is not None
    assert tenant.wake_at is not None
    assert abs(tenant.wake_at - tenant.grace_ends_at) < timedelta(seconds=1)
    database = world.control.state.database(tenant.database_ulid or "")
    assert database is not None
    assert database.status is DatabaseStatus.CLAIMED


def test_a_tenant_that_is_ready_is_announced_once(world: World) -> None:
    """The event bus gets one TenantReady, and nothing stays in the outbox."""
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="heard")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    events = boto3.client("events")
    bus = world.control.settings.event_bus_name
    events.put_rule(Name="all", EventBusName=bus, EventPattern='{"source":["d1fleet"]}')
    events.put_targets(Rule="all", EventBusName=bus, Targets=[{"Id": "1", "Arn": arn["QueueArn"]}])
    fill_pool(world)
    for _ in range(2):
        accept(world).signup(signup("org_e"), body_sha256="a", trace="t")
    world.run(lambda: status(world, "org_e") is TenantStatus.ACTIVE)
    world.run()
    heard = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    assert len([each for each in heard if "TenantReady" in each["Body"]]) == 1
    assert list(world.control.outbox.waiting(10)) == []


def test_the_router_is_never_rewritten_by_a_shard(world: World) -> None:
    """Publishing databases to a shard leaves the router's generation alone."""
    world.run()
    name = router_script(world.control.settings.fleet)
    fill_pool(world)
    before = world.control.state.worker(name)
    accept(world).signup(signup("org_r"), body_sha256="a", trace="t")
    world.run()
    after = world.control.state.worker(name)
    assert before is not None
    assert after is not None
    assert after.generation == before.generation


def test_a_worker_that_is_seen_live_has_nothing_in_its_way(world: World) -> None:
    """What kept it from being asked was mended without another publish: the alert of it ends."""
    fill_pool(world)
    control, script = world.control, shard(world)
    worker = control.state.worker(script)
    assert worker is not None
    held_up = worker.changed(
        control.now(),
        live_generation=worker.published_generation - 1,
        reason="shard_refused BadRouterAddress: the router has no address",
    )
    control.state.commit(Change(worker, held_up))
    world.deliver("bind", Message(kind="shard", id=script, trace="t"))
    live = control.state.worker(script)
    assert live is not None
    assert live.live_generation == live.published_generation == worker.published_generation
    assert live.reason is None
