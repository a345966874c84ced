"""Running the command line in the test's process, as if it were one of its own."""

import gc
import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from click.testing import CliRunner

from ops.cli import main

__all__ = ["Ran", "environment", "forget_connections", "run"]


@dataclass
class Ran:
    """What a run of the command line left: its exit status and both outputs."""

    status: int
    stdout: str
    stderr: str

    @property
    def data(self) -> Any:
        """Standard output as JSON: it must be nothing else."""
        return json.loads(self.stdout)


def run(*arguments: str, typed: str | None = None, **environ: str) -> Ran:
    """Run the command line in this process; `typed` comes from standard input."""
    with warnings.catch_warnings():
        # Connections that a run leaves open are closed by the end of its process.
        warnings.simplefilter("ignore", ResourceWarning)
        result = CliRunner().invoke(main, list(arguments), input=typed, env=environ)
        forget_connections()
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def forget_connections() -> None:
    """Close what a run left open, as the end of its process would."""
    boto3.DEFAULT_SESSION = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Have environment variables, and everything as before afterwards."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        forget_connections()
