"""Fill a fresh local stack: the example's migrations, the fleet itself, the sample app.

Run by `stack.py` as a process of its own, `python -m local.seed ROOT`, in the environment that a
function has; so it works with exactly the settings that the functions have, and leaves none behind.
Each step is a line on standard output; what went wrong is the last line of standard error.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx

from local.processes import end_with_parent
from shared import wiring
from shared.domain.migrations import BadMigrations
from shared.domain.names import router_script
from shared.errors import ControlPlaneError
from shared.settings import Settings
from shared.usecases.init_fleet import InitFleet
from shared.usecases.overviews import pool_rows
from shared.usecases.push_migrations import push_migrations, read_folder

__all__ = ["APP", "main"]

APP: Final = "app"
"""The script name of the sample app, and the first part of its path."""

FILL_PATIENCE: Final = 60.0
"""Seconds until the first database of the pool must be on its way."""


class SeedFailed(Exception):  # noqa: N818
    """Say in one line which step failed and why."""


def _tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _push(parts: wiring.Parts, folder: Path) -> None:
    pushed = push_migrations(
        parts.outside.migrations, read_folder(folder), now=parts.control.now, pushed_by="up"
    )
    _tell(f"pushed the migrations up to {pushed.head.schema_version}")


def _deploy_app(settings: Settings, token: str, source: Path) -> None:
    """Deploy the sample app as a customer would: one upload, one service binding, set once."""
    metadata = {
        "main_module": source.name,
        "compatibility_date": "2026-04-01",
        "compatibility_flags": ["enhanced_error_serialization"],
        "bindings": [
            {
                "type": "service",
                "name": "DB_POOL",
                "service": router_script(settings.fleet),
                "entrypoint": "DbPool",
            }
        ],
    }
    scripts = f"{settings.cloudflare_api_url}/accounts/{settings.cloudflare_account_id}/workers"
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=30) as client:
        uploaded = client.put(
            f"{scripts}/scripts/{APP}",
            files={
                "metadata": (None, json.dumps(metadata), "application/json"),
                source.name: (
                    source.name,
                    source.read_bytes(),
                    "application/javascript+module",
                ),
            },
        )
        opened = client.post(f"{scripts}/scripts/{APP}/subdomain", json={"enabled": True})
    for answer in (uploaded, opened):
        if answer.is_error:
            raise SeedFailed(f"the sample app can't be deployed: {answer.text[:500]}")
    _tell("deployed the sample app")


def _wait_for_pool(parts: wiring.Parts, pause: Callable[[float], None]) -> None:
    """Return when databases of the pool are on their way."""
    until = time.monotonic() + FILL_PATIENCE
    while parts.settings.pool_target and time.monotonic() < until:
        rows = pool_rows(parts.control)
        for row in rows:
            if row.reason is not None:
                raise SeedFailed(f"the pool of {row.class_} does not fill: {row.reason}")
        if any(row.making or row.ready for row in rows):
            return
        pause(0.1)
    if parts.settings.pool_target:
        raise SeedFailed("the pool does not begin to fill: see the log of provision")


def main(arguments: list[str]) -> int:
    """Do all steps; return the exit status."""
    end_with_parent()
    root = Path(arguments[0])
    try:
        parts = wiring.build("operator:up")
        _push(parts, root / "examples" / "migrations")
        InitFleet(parts.control, parts.outside, pause=time.sleep, tell=_tell)()
        token = parts.secrets.get_text("cloudflare-token")
        _deploy_app(parts.settings, token, root / "examples" / "app" / "src" / "index.js")
        _wait_for_pool(parts, time.sleep)
    except (ControlPlaneError, BadMigrations, SeedFailed, httpx.HTTPError) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
