"""Start and stop the Cloudflare emulator as a process."""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.aws.cloud import clean_environment
from local.processes import Child, Lifeline, tail

__all__ = ["Cloudflare", "CloudflareFailed", "Doors"]

START_PATIENCE: Final = 60.0
STOP_PATIENCE: Final = 5.0


class CloudflareFailed(Exception):  # noqa: N818
    """Say why the emulator did not come up, with the end of its log."""


@dataclass(frozen=True)
class Doors:
    """Where the emulator answers."""

    base_url: str
    account_id: str
    control_url: str
    workers_url: str


class Cloudflare:
    """Run the emulator in a process of its own; its token is in its environment alone."""

    def __init__(
        self,
        *,
        lifeline: Lifeline,
        data: Path,
        logs: Path,
        root: Path,
        api_token: str,
        options: Mapping[str, str],
    ) -> None:
        self._answers = logs / "cloudflare.ready"
        arguments = [part for name, value in options.items() for part in (f"--{name}", value)]
        self.child = Child(
            [sys.executable, "-m", "local.cloudflare", "--data", str(data), *arguments],
            lifeline=lifeline,
            log=logs / "cloudflare.log",
            environment={**clean_environment(), "EMULATOR_API_TOKEN": api_token},
            directory=root,
            answers=self._answers,
        )

    def wait(self) -> Doors:
        """Return where it answers, when it does.

        Raises:
            CloudflareFailed: it ended, or did not answer in time.
        """
        until = time.monotonic() + START_PATIENCE
        while time.monotonic() < until and self.child.exit_status is None:
            line, newline, _ = self._answers.read_text(encoding="utf-8").partition("\n")
            if newline:
                said = json.loads(line)
                return Doors(
                    **{name: str(said[name]) for name in Doors.__dataclass_fields__},
                )
            time.sleep(0.02)
        raise CloudflareFailed(f"the Cloudflare emulator did not start:\n{tail(self.child.log)}")

    def stop(self) -> None:
        """Let it end its own children; kill it when that takes too long."""
        self.child.stop(STOP_PATIENCE)
