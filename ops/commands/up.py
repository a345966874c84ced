"""`d1fleet up`: run the whole stack on this machine, in this folder, until told to stop."""

from pathlib import Path
from typing import Any

import click

__all__ = ["add_up"]

_PORTS = ("webhooks", "aws", "cloudflare", "workers")


def add_up(group: click.Group) -> None:
    """Add the command to a group."""
    made = group.command("up")(up)
    for name in reversed(_PORTS):
        option = click.option(
            f"--{name}-port",
            type=click.IntRange(0, 65_535),
            default=0,
            metavar="PORT",
            help=f"Port of {name} on 127.0.0.1; without it a free one.",
        )
        made = option(made)


def up(**ports: Any) -> int:
    """Run the whole stack on this machine, without a cloud account.

    Its state is in .d1fleet/ below this folder and starts empty; its addresses and secrets are in
    .d1fleet/stack.json once everything answers. Settings of the functions are taken from the
    environment (POOL_TARGET, SHARD_CAPACITY, GRACE_PERIOD …). Ctrl-C stops it.
    """
    # Here and not above: the emulators take a second to import, and no other command needs them.
    from local.stack import Ports  # noqa: PLC0415
    from local.up import main  # noqa: PLC0415

    given = {name: ports[f"{name}_port"] for name in _PORTS}
    return main(Path.cwd(), ports=Ports(**given))
