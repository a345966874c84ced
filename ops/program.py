"""How the program ends: expected errors become one line and an exit status, never a traceback."""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
from botocore.exceptions import BotoCoreError, ClientError

from ops.output import Status, plain, to_json
from shared.errors import ControlPlaneError, Permanent
from shared.settings import BadSettings

__all__ = ["Failed", "Program"]


class Failed(click.ClickException):
    """Say in one line what went wrong and what to do; the exit status is 1.

    `details` are fields that scripts get besides.
    """

    exit_code = Status.FAILED

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class Program(click.Group):
    """Run a command; end with 0 done, 1 failed, 2 done but a person is needed, 64 wrong usage."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command that the arguments name, and exit."""
        arguments = sys.argv[1:] if args is None else list(args)
        # The library's own warnings are for the functions' logs: here the error's line says it.
        logging.getLogger().addHandler(logging.NullHandler())
        try:
            status = super().main(
                arguments,
                prog_name or "d1fleet",
                complete_var,
                standalone_mode=False,
                windows_expand_args=windows_expand_args,
                **extra,
            )
            sys.stdout.flush()
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            status = Status.WRONG_USAGE
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "d1fleet"
            line = f"{error.format_message()} Try '{where} --help'."
            status = _refuse(line, Status.WRONG_USAGE, arguments)
        except Failed as error:
            status = _refuse(error.message, Status.FAILED, arguments, error.details)
        except click.ClickException as error:
            status = _refuse(error.format_message(), Status.FAILED, arguments)
        except (click.Abort, KeyboardInterrupt):
            status = _refuse("interrupted", Status.INTERRUPTED, arguments)
        except BrokenPipeError:
            # Whoever reads our output has seen enough; Python would complain once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = Status.FAILED
        except (ControlPlaneError, BadSettings, ClientError, BotoCoreError) as error:
            status = _refuse(_in_words(error), Status.FAILED, arguments)
        if not standalone_mode:
            return status
        sys.exit(int(status or 0))


def _refuse(
    line: str, status: Status, arguments: Sequence[str], details: Mapping[str, Any] | None = None
) -> Status:
    """Say what went wrong, on standard error and, to scripts that asked for JSON, there too."""
    text = " ".join(line.split())
    if "--json" in arguments:
        click.echo(to_json({"error": text, "exit_status": int(status), **(details or {})}))
    click.echo(f"d1fleet: {plain(text)}", err=True)
    return status


def _in_words(error: Exception) -> str:
    match error:
        case Permanent():
            return error.reason
        case ClientError():
            told = error.response.get("Error", {})
            operation, code = error.operation_name, told.get("Code", "an error")
            return f"AWS refused {operation}: {code}: {told.get('Message', '')}"
        case _:
            return str(error) or type(error).__name__
