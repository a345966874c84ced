"""Setting a fleet up: idempotent, careful with what is there, and clear about what is missing."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.cloudflare import Emulator
from shared.aws.table import Delete
from shared.domain.budget import Lane
from shared.domain.names import directory_name, router_script
from shared.errors import Permanent
from shared.usecases.init_fleet import InitFleet
from tests.usecases.world import World


def init(world: World) -> list[str]:
    told: list[str] = []
    InitFleet(world.control, world.outside, lambda _: None, told.append)()
    return told


@pytest.fixture
def control_door(emulator: Emulator) -> Callable[[str, Any], None]:
    def post(what: str, body: Any) -> None:
        httpx.post(f"{emulator.control_url}/{what}", json=body).raise_for_status()

    return post


def test_running_it_again_changes_nothing(world: World) -> None:
    """A second run makes nothing anew: same identity, same directory, no new generation."""
    before = world.control.fleet.read()
    router = world.control.state.worker(router_script(world.control.settings.fleet))
    told = init(world)
    assert world.control.fleet.read() == before
    after = world.control.state.worker(router_script(world.control.settings.fleet))
    assert after is not None
    assert router is not None
    assert after.generation == router.generation
    assert not [line for line in told if "created" in line or "opened" in line]


def test_an_account_without_a_subdomain_is_told_what_to_do(
    world: World, control_door: Callable[[str, Any], None]
) -> None:
    """Without a workers.dev subdomain the one line names both ways out."""
    control_door("account", {"subdomain": None})
    try:
        with pytest.raises(Permanent, match=r"workers\.dev subdomain.*ROUTER_URL"):
            init(world)
    finally:
        control_door("account", {"subdomain": "d1fleet"})


def test_a_token_without_a_permission_is_told_which(
    world: World, emulator: Emulator, control_door: Callable[[str, Any], None]
) -> None:
    """A token that may not use Workers gets a line that names the permission."""
    control_door("tokens", {"token": emulator.api_token, "groups": ["D1 Write"]})
    try:
        with pytest.raises(Permanent, match="Workers Scripts Write"):
            init(world)
    finally:
        every = ["D1 Write", "Workers Scripts Write", "Pages Write", "Account Settings Read"]
        control_door("tokens", {"token": emulator.api_token, "groups": every})


def test_a_clone_of_the_stack_owns_nothing(world: World) -> None:
    """A table that forgot its identity is refused by the directory that remembers it."""
    world.control.state.table.write(Delete({"pk": "FLEET", "sk": "META"}))
    with pytest.raises(Permanent, match="belongs to another stack"):
        init(world)


def test_the_directory_is_where_the_default_class_says(world: World) -> None:
    """The directory exists once, under its own name."""
    d1 = world.outside.cloudflare().on(Lane.REPAIR).d1
    found = d1.get(directory_name(world.control.settings.fleet))
    fleet = world.control.fleet.read()
    assert found is not None
    assert fleet is not None
    assert found.uuid == fleet.directory_id
