"""What the functions of the webhooks load before they can answer."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.webhooks.environment import ENVIRONMENT

ROOT = Path(__file__).parents[2]


def loaded(statements: str, modules: str) -> str:
    """Return which of some modules are loaded after some statements in a fresh interpreter."""
    code = f"import sys, {statements}; print([m for m in {modules.split()!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("function", ["on_signup", "on_billing"])
def test_a_webhook_loads_no_http_client_and_no_judge(function: str) -> None:
    """The cold start pays for what it uses: no httpx, no Cloudflare client, no provider's SDK."""
    heavy = (
        "httpx cloudflare moto svix standardwebhooks workos stripe requests hypothesis local ops"
    )
    start = f"functions.{function}.app as app; app.build_dependencies()"
    assert loaded(start, heavy) == "[]"


def test_only_the_backup_function_loads_sqlite() -> None:
    """Whoever only asks for backups pays for none of what makes them."""
    quick = ("on_signup", "on_billing", "provision", "bind", "reconcile")
    every = ", ".join(f"functions.{name}.app" for name in quick)
    assert loaded(every, "apsw shared.dumps") == "[]"
    assert loaded("functions.backup.app", "apsw moto local ops flask") == "['apsw']"
