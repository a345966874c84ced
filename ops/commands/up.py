"""`d1fleet up`: run the whole stack on this machine, in this folder, until told to stop."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from ops.output import to_json

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
    click.option("--json", "as_json", is_flag=True, help="Print where everything is as JSON.")(made)


def up(*, as_json: bool, **ports: Any) -> int:
    """Run the whole stack on this machine, without a cloud account.

    Its state is in .d1fleet/ below this folder and starts empty; its addresses and secrets are in
    .d1fleet/stack.json once everything answers. Settings of the functions are taken from the
    environment (POOL_TARGET, SHARD_CAPACITY, GRACE_PERIOD …). Ctrl-C stops it. With --json the
    addresses are printed once everything answers, without the secrets; the rest goes to standard
    error.
    """
    # Here and not above: the emulators take a second to import, and no other command needs them.
    from local.stack import Ports  # noqa: PLC0415
    from local.up import main  # noqa: PLC0415

    given = {name: ports[f"{name}_port"] for name in _PORTS}
    if not as_json:
        return main(Path.cwd(), ports=Ports(**given))
    told: list[Mapping[str, Any]] = []

    def tell_ready(description: Mapping[str, Any]) -> None:
        told.append(description)
        click.echo(to_json(_without_secrets(description)))

    console = Console(stderr=True, highlight=False)
    status = main(Path.cwd(), ports=Ports(**given), console=console, tell_ready=tell_ready)
    if not told:
        error = "the stack did not start: standard error says why"
        click.echo(to_json({"error": error, "exit_status": status}))
    return status


def _without_secrets(description: Mapping[str, Any]) -> dict[str, Any]:
    public = {name: value for name, value in description.items() if name != "secrets"}
    hidden = {"api_token"}
    cloudflare = {k: v for k, v in description["cloudflare"].items() if k not in hidden}
    return {**public, "cloudflare": cloudflare}
