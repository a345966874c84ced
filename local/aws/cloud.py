"""Start and stop the process that is AWS on this machine."""

import os
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from local.processes import Child, Lifeline, tail

__all__ = ["Aws", "AwsFailed", "clean_environment", "listen"]

START_PATIENCE: Final = 60
BACKLOG: Final = 512


class AwsFailed(Exception):  # noqa: N818
    """Say why the process did not come up, with the end of its log."""


def listen(port: int) -> socket.socket:
    """Return a listening socket on the loopback; port 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind(("127.0.0.1", port))
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def clean_environment() -> dict[str, str]:
    """Return what a child needs of this process's environment: none of the user's settings."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    return {
        **kept,
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "PYTHONUNBUFFERED": "1",
        # The user's own profile must not be found: everything here has its keys given.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


class Aws:
    """Run moto in a process of its own, on a socket that listens already."""

    def __init__(
        self, *, lifeline: Lifeline, log: Path, root: Path, lambda_url: str, opened: socket.socket
    ) -> None:
        calls = log.with_name("aws-calls.jsonl")
        with opened:
            self.endpoint_url = f"http://127.0.0.1:{opened.getsockname()[1]}"
            self._child = Child(
                [
                    sys.executable,
                    "-m",
                    "local.aws.server",
                    str(opened.fileno()),
                    lambda_url,
                    str(calls),
                ],
                lifeline=lifeline,
                log=log,
                environment={
                    **clean_environment(),
                    "AWS_ACCESS_KEY_ID": "local",
                    "AWS_SECRET_ACCESS_KEY": "local",
                    "AWS_DEFAULT_REGION": "us-east-1",
                },
                directory=root,
                pass_fds=(opened.fileno(),),
            )

    @property
    def child(self) -> Child:
        """Return the process, so that its end can be noticed."""
        return self._child

    def wait(self) -> None:
        """Return when it answers.

        Raises:
            AwsFailed: it ended, or did not answer in time.
        """
        until = time.monotonic() + START_PATIENCE
        while time.monotonic() < until:
            if self._child.exit_status is not None:
                break
            try:
                with urllib.request.urlopen(  # noqa: S310 - our own address
                    f"{self.endpoint_url}/moto-api/data.json", timeout=START_PATIENCE
                ):
                    return
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
        raise AwsFailed(f"AWS on this machine did not start:\n{tail(self._child.log)}")

    def stop(self) -> None:
        """End it at once: it keeps nothing that would have to be saved."""
        self._child.kill()
        self._child.wait()
