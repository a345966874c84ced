"""Asking the person who types, before something that can't be taken back.

Without a terminal nothing is ever asked: a script says its word with an option.
"""

import sys
from datetime import timedelta
from typing import Any, Final

import click
from pydantic import TypeAdapter, ValidationError

from ops.program import Failed

__all__ = ["DURATION", "Duration", "confirm", "confirm_id"]

_ISO: Final = TypeAdapter(timedelta)


def confirm_id(tenant_id: str, given: str | None, *, what: str) -> None:
    """Go on only if the tenant's id was typed once more, here or as `--confirm`.

    Raises:
        Failed: something else was typed on the terminal.
        click.UsageError: there is no terminal, and no `--confirm` that equals the id.
    """
    if given is None and _terminal():
        given = click.prompt(f"This will {what}. Type the tenant's id to go on", err=True)
        if given != tenant_id:
            raise Failed(f"that is not {tenant_id}: nothing was done")
    if given is None:
        raise click.UsageError(f"This will {what}: say so with --confirm {tenant_id}.")
    if given != tenant_id:
        raise click.UsageError(f"--confirm says {given}, the tenant is {tenant_id}.")


def confirm(what: str, *, yes: bool) -> None:
    """Go on only if the person agrees, here or with `--yes`.

    Raises:
        Failed: the answer was no.
        click.UsageError: there is no terminal, and no `--yes`.
    """
    if yes:
        return
    if not _terminal():
        raise click.UsageError(f"This will {what}: say so with --yes.")
    if not click.confirm(f"This will {what}. Go on?", err=True):
        raise Failed("nothing was done")


def _terminal() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


class Duration(click.ParamType[timedelta]):
    """Take a duration in ISO 8601 that is not negative: `P30D`, `PT12H`, `P0D` for none."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the duration as a `timedelta`."""
        text = str(value).strip()
        # Pydantic takes plain numbers too, as seconds: whoever types 30 means days.
        if not text.upper().startswith("P"):
            self.fail(f"{text} is no ISO 8601 duration, such as P30D or PT12H", param, ctx)
        try:
            return _ISO.validate_python(text)
        except ValidationError:
            self.fail(f"{text} is no ISO 8601 duration, such as P30D or PT12H", param, ctx)


DURATION: Final = Duration()
