"""Killed after any side effect and delivered again, the path ends in the same place."""

import pytest

from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.names import ulid_of_database
from shared.domain.tenant import TenantStatus
from shared.settings import Settings
from tests.support.events import signup
from tests.usecases.killing import Killed
from tests.usecases.test_signup_path import accept, ready, status
from tests.usecases.world import World

MOST_EFFECTS = 120


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"pool_target": 0})


def sign_up_killed_at(world: World, tenant_id: str, number: int) -> list[str]:
    """Run a cold signup that is killed after its n-th side effect; return what it did."""
    event = signup(tenant_id)
    world.executioner.arm(number)
    try:
        accept(world).signup(event, body_sha256="x", trace="t")
    except Killed:
        # The provider got no answer: it sends the event again.
        answer = accept(world).signup(event, body_sha256="x", trace="t")
        assert answer.status in {"accepted", "duplicate"}
    world.run(lambda: status(world, tenant_id) is TenantStatus.ACTIVE)
    world.run()
    effects = list(world.executioner.effects)
    world.executioner.arm(None)  # what the test itself asks for is no part of the path
    return effects


def names_on_cloudflare(world: World) -> set[str]:
    pages = world.outside.cloudflare().on(Lane.REPAIR).d1.pages()
    fleet = world.control.settings.fleet
    names = {database.name for page in pages for database in page.databases}
    return {name for name in names if ulid_of_database(fleet, name) is not None}


def names_in_table(world: World) -> set[str]:
    return {
        database.name
        for each in DatabaseStatus
        for database in world.control.state.databases("weur", each)
    }


def test_killed_after_each_side_effect(world: World) -> None:
    """Whatever side effect it dies after, a signup ends as one tenant and one database."""
    done: list[str] = []
    for number in range(1, MOST_EFFECTS):
        effects = sign_up_killed_at(world, f"org_{number}", number)
        assert names_on_cloudflare(world) == names_in_table(world)
        assert len(names_in_table(world)) == number
        assert ready(world) == 0
        if len(effects) < number:
            done = effects
            break
    assert len(done) >= 8, "the path has fewer side effects than it can have"
    databases = [
        world.control.state.tenant(f"org_{each}").database_id  # type: ignore[union-attr]
        for each in range(1, number + 1)
    ]
    assert len(set(databases)) == number
