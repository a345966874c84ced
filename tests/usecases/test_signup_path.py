"""From a signup to a live tenant, message by message."""

from collections.abc import Callable
from typing import Any

from shared.aws.dead_letters import connect_dead_letters
from shared.domain.database import DatabaseStatus
from shared.domain.messages import Message
from shared.domain.tenant import TenantStatus
from shared.usecases.accept_signup import AcceptSignup
from tests.support.events import signup
from tests.usecases.world import World


def accept(world: World) -> AcceptSignup:
    return AcceptSignup(world.control, connect_dead_letters(world.control.settings.bucket_name))


def ready(world: World) -> int:
    return world.control.state.count_databases("weur", DatabaseStatus.READY)


def fill_pool(world: World) -> None:
    world.queues.send([Message(kind="pool", id="weur")])
    world.run(lambda: ready(world) == world.control.settings.pool_target)
    world.run()


def test_the_pool_fills_to_its_target(world: World) -> None:
    """An empty pool becomes as many migrated, bound databases as its target says, and stops."""
    fill_pool(world)
    databases = list(world.control.state.databases("weur", DatabaseStatus.READY))
    assert len(databases) == world.control.settings.pool_target
    assert {database.schema_version for database in databases} == {"0001_notes.sql"}


def test_a_warm_signup_is_live_without_a_call_to_cloudflare(
    world: World, stats: Callable[[], dict[str, Any]]
) -> None:
    """With a database in the pool a tenant becomes active while Cloudflare's API does nothing."""
    fill_pool(world)
    before = stats()["total"]
    answer = accept(world).signup(signup("org_acme"), body_sha256="a", trace="t")
    assert (answer.status, answer.tenant_status) == ("accepted", "activating")
    world.run(lambda: status(world, "org_acme") is TenantStatus.ACTIVE)
    assert stats()["total"] == before


def test_a_cold_signup_gets_the_first_database_that_is_ready(world: World) -> None:
    """With an empty pool a tenant waits as pending, and the database made for it comes to it."""
    answer = accept(world).signup(signup("org_cold"), body_sha256="a", trace="t")
    assert answer.tenant_status == "pending"
    world.run(lambda: status(world, "org_cold") is TenantStatus.ACTIVE)


def test_the_same_event_again_changes_nothing(world: World) -> None:
    """A duplicate is answered as one, and the tenant stays what it is."""
    fill_pool(world)
    use = accept(world)
    use.signup(signup("org_acme"), body_sha256="a", trace="t")
    world.run()
    before = world.control.state.tenant("org_acme")
    answer = use.signup(signup("org_acme"), body_sha256="a", trace="t")
    world.run()
    assert answer.status == "duplicate"
    assert world.control.state.tenant("org_acme") == before


def status(world: World, tenant_id: str) -> TenantStatus | None:
    tenant = world.control.state.tenant(tenant_id)
    return tenant.status if tenant else None
