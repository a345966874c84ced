"""Interleavings that a review found: each once ended in the wrong place, or nowhere."""

import dataclasses
from datetime import timedelta

import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.items import Change
from shared.aws.table import Delete
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.names import router_script
from shared.domain.tenant import TenantStatus
from shared.errors import Permanent
from shared.usecases.init_fleet import InitFleet
from shared.usecases.sweep import Sweep
from tests.support.events import CREATED_AT, signup
from tests.usecases.conftest import SECRET
from tests.usecases.test_signup_path import accept, fill_pool, ready, status
from tests.usecases.test_trouble import shard
from tests.usecases.world import World


def forget_everything(world: World) -> None:
    """Empty the table, as a second stack with the same FLEET name has it."""
    client = world.control.state.table._client
    for item in client.scan(TableName="state")["Items"]:
        client.delete_item(TableName="state", Key={"pk": item["pk"], "sk": item["sk"]})


def test_a_stack_whose_init_was_refused_touches_nothing(world: World) -> None:
    """A second stack of the same name is refused by init, and its schedules do no harm either."""
    fill_pool(world)
    workers = world.outside.cloudflare().on(Lane.REPAIR).workers
    before = workers.settings(shard(world)).bindings
    forget_everything(world)
    with pytest.raises(Permanent, match="belongs to another stack"):
        InitFleet(world.control, world.outside, lambda _: None, lambda _: None)()
    world.queues.heap.clear()
    Sweep(world.control, world.outside)("sweep")
    for _ in range(20):
        item = world.queues.next()
        if item is None:
            break
        world.deliver(*item)
    assert workers.settings(shard(world)).bindings == before


def test_a_late_publish_is_noticed_before_the_newer_was_seen(
    world: World, emulator: Emulator
) -> None:
    """An old set that commits over a new one nobody saw live yet is published over."""
    fill_pool(world)
    workers = world.outside.cloudflare().on(Lane.REPAIR).workers
    old = [dict(each) for each in workers.settings(shard(world)).bindings]
    hold = f"{emulator.control_url}/hold"
    httpx.post(hold, json={"script": shard(world), "hold": True}).raise_for_status()
    accept(world).signup(signup("org_a"), body_sha256="a", trace="t")

    def published_and_not_seen() -> bool:
        worker = world.control.state.worker(shard(world))
        assert worker is not None
        return worker.published_generation > worker.live_generation and not worker.unfinished

    world.run(published_and_not_seen)
    workers.patch_settings(shard(world), old, message="a zombie")
    httpx.post(hold, json={"script": shard(world), "hold": False}).raise_for_status()
    assert emulator.settle()
    world.clock.pass_(minutes=6)
    assert Sweep(world.control, world.outside)("sweep").overwritten == [shard(world)]
    world.run(lambda: ready(world) == world.control.settings.pool_target)


def test_a_closing_tenant_stays_closing_whatever_the_router_says(world: World) -> None:
    """A cancellation that was acknowledged is not lost because the directory can't be told yet."""
    fill_pool(world)
    accept(world).signup(signup("org_a"), body_sha256="a", trace="t")
    world.run(lambda: status(world, "org_a") is TenantStatus.ACTIVE)
    gone = signup(
        "org_a",
        event_id="gone",
        type="tenant.deleted",
        verb="tenant.removed",
        occurred_at=CREATED_AT + timedelta(days=1),
    )
    accept(world).signup(gone, body_sha256="b", trace="t")

    def no_router() -> None:
        raise Permanent("the router's address is wrong")

    broken = dataclasses.replace(world.outside, router=no_router)
    for _ in range(3):
        item = world.queues.next()
        if item is None:
            break
        dataclasses.replace(world, outside=broken).deliver(*item)
    assert status(world, "org_a") is TenantStatus.CLOSING
    world.clock.pass_(minutes=20)
    Sweep(world.control, world.outside)("sweep")
    world.run()
    assert world.outside.router().get(["org_a"])[0].state == "closing"


def test_a_deleted_quarantined_database_does_not_block_its_shard(world: World) -> None:
    """What is both quarantined and gone is left out, and the others are published."""
    fill_pool(world)
    control = world.control
    first = next(iter(control.state.databases("weur", DatabaseStatus.READY)))
    database = control.state.database(first.ulid)
    assert database is not None
    aside = database.moved(DatabaseStatus.QUARANTINED, control.now(), reason="looked odd")
    control.state.commit(Change(database, aside))
    world.outside.cloudflare().on(Lane.REPAIR).d1.delete(database.database_id or "")
    world.clock.pass_(minutes=6)
    Sweep(control, world.outside)("sweep")
    world.run(lambda: ready(world) == control.settings.pool_target)


def test_what_a_publish_finds_missing_in_the_pool_is_replaced_without_a_sweep(
    world: World,
) -> None:
    """A ready database that D1 lost is set aside by the publish that it fails, and made anew."""
    fill_pool(world)
    control = world.control
    gone = next(iter(control.state.databases("weur", DatabaseStatus.READY)))
    world.outside.cloudflare().on(Lane.REPAIR).d1.delete(gone.database_id or "")
    worker = control.state.worker(shard(world))
    assert worker is not None
    control.state.commit(Change(worker, worker.to_upload(control.now())))
    control.queues.wake(shard(world), "t")
    world.run()
    record = control.state.database(gone.ulid)
    assert record is not None
    assert record.status is DatabaseStatus.DELETED
    assert ready(world) == control.settings.pool_target


def test_a_rotated_admin_secret_reaches_the_router(world: World, emulator: Emulator) -> None:
    """With the old and the new one given together, the router learns the new one by itself."""
    new = "whsec_" + "WFlZ" * 10
    both = dataclasses.replace(world.outside, admin_secret=lambda: f"{SECRET} {new}")
    rotated = dataclasses.replace(world, outside=both)
    name = router_script(world.control.settings.fleet)
    before = world.control.state.worker(name)
    Sweep(world.control, both)("sweep")
    rotated.run()
    after = world.control.state.worker(name)
    assert before is not None
    assert after is not None
    assert after.live_generation > before.live_generation


def test_before_init_nothing_is_made(world: World) -> None:
    """Without an identity the refill waits, and no database is created at Cloudflare."""
    world.control.state.table.write(Delete({"pk": "FLEET", "sk": "META"}))
    before = next(world.outside.cloudflare().on(Lane.REPAIR).d1.pages()).total_count
    accept(world).signup(signup("org_early"), body_sha256="a", trace="t")
    for _ in range(10):
        item = world.queues.next()
        if item is None:
            break
        world.deliver(*item)
    assert next(world.outside.cloudflare().on(Lane.REPAIR).d1.pages()).total_count == before
    assert status(world, "org_early") is TenantStatus.PENDING
