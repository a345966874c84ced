"""`d1fleet init`: make what the fleet stands on at Cloudflare."""

import time

import click

from ops.options import Run, command
from shared.usecases.init_fleet import InitFleet

__all__ = ["add_init"]


def add_init(group: click.Group) -> None:
    """Add the command to a group."""
    command(group, "init")(init)


def init(run: Run) -> None:
    """Set the fleet up at Cloudflare: directory, router, first shard. Safe to run again."""
    parts = run.deployment.parts
    fleet = InitFleet(parts.control, parts.outside, pause=time.sleep, tell=run.output.note)()
    data = fleet.model_dump()
    run.output.result(data, f"fleet {fleet.fleet} is set up; its router is {fleet.router_url}")
