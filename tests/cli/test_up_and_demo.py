"""`d1fleet up --json` and `d1fleet demo --json`: standard output is JSON and nothing else."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

PROGRAM = Path(sys.executable).parent / "d1fleet"


def test_up_prints_where_everything_is(tmp_path: Path) -> None:
    """One document once all answers, without token and secrets; then it runs until told to stop."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "POOL_TARGET": "1"}
    with (tmp_path / "err").open("wb") as errors:
        process = subprocess.Popen(
            [PROGRAM, "up", "--json"],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        try:
            assert process.stdout is not None
            lines: list[str] = []
            for line in process.stdout:
                lines.append(line)
                if line == "}\n":
                    break
            stored = json.loads((tmp_path / ".d1fleet" / "stack.json").read_text())
        finally:
            process.send_signal(signal.SIGINT)
            rest, _ = process.communicate(timeout=60)
    said = json.loads("".join(lines))
    assert (process.returncode, rest) == (0, "")
    assert said["webhooks_url"] == stored["webhooks_url"]
    assert said["cloudflare"]["base_url"] == stored["cloudflare"]["base_url"]
    text = json.dumps(said)
    for secret in (stored["cloudflare"]["api_token"], *stored["secrets"].values()):
        assert secret not in text


def test_demo_prints_what_each_signup_took(tmp_path: Path) -> None:
    """Signups, one that is restored, one that begins anew; the story is on standard error."""
    ended = subprocess.run(
        [PROGRAM, "demo", "--json"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    rows: list[dict[str, Any]] = json.loads(ended.stdout)
    paths = [row["path"] for row in rows]
    assert paths == ["warm", "warm", "warm", "cold", "restored", "again"]
    for row in rows:
        assert set(row) == {"tenant_id", "path", "answered", "live", "calls"}
        assert 0 < row["answered"] <= row["live"]
    assert "org_acme" in ended.stderr
    assert "0 Cloudflare calls for suspending and resuming" in ended.stderr
    assert "Cloudflare has no such databases any more" in ended.stderr
    assert "[FIRING] worker_overwritten" in ended.stderr
    assert "The next pass finds nothing new" in ended.stderr
