"""The options that every command has, and what it gets from them.

`@command` makes a subcommand whose function takes a `Run` first. `--json`, `--profile`, `--region`
and `--stack` may stand after any subcommand; the last three before it, too.
"""

from collections.abc import Callable
from functools import cached_property, update_wrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from ops.context import Deployment, Where, find_deployment
from ops.output import Output

__all__ = ["Run", "command", "where_options"]

F = TypeVar("F", bound=Callable[..., Any])


class Run:
    """Hold what one run of a command works with; the deployment is looked for when first used."""

    def __init__(self, output: Output, where: Where) -> None:
        self.output = output
        self.where = where

    @cached_property
    def deployment(self) -> Deployment:
        """Return the deployment that the command line means."""
        return find_deployment(self.where, Path.cwd())


def where_options(function: F) -> F:
    """Add the options that say which deployment."""
    options = (
        click.option("--profile", metavar="NAME", help="AWS profile."),
        click.option("--region", metavar="NAME", help="AWS region."),
        click.option(
            "--stack",
            metavar="NAME",
            envvar="D1FLEET_STACK",
            help="Deployed CloudFormation stack; without it, the local one of this folder.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def command(group: click.Group, name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Add a subcommand to a group; its function takes a `Run`, then its own parameters."""

    def register(function: Callable[..., Any]) -> click.Command:
        @click.pass_context
        def run(
            context: click.Context,
            /,
            *,
            as_json: bool,
            profile: str | None,
            region: str | None,
            stack: str | None,
            **own: Any,
        ) -> Any:
            before = context.find_object(Where) or Where()
            where = Where(profile, region, stack).or_else(before)
            return function(Run(Output(as_json), where), **own)

        update_wrapper(run, function)
        # Click lists what was added last first: a command's own parameters shall lead its help.
        own: list[click.Parameter] = run.__dict__.pop("__click_params__", [])
        option = click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
        decorated = where_options(option(run))
        decorated.__dict__["__click_params__"] += own
        return group.command(name)(decorated)

    return register
