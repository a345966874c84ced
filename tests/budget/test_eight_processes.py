"""The budget under the pressure of real processes."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.cloudflare.emulator import Emulator
from shared.aws.table import Table
from shared.domain.budget import BudgetLimits, Lane

SMALL = BudgetLimits.of(20, 10, 0.8)
LANES = [Lane.SIGNUP, Lane.REFILL, Lane.SIGNUP, Lane.MIGRATION] * 2


def pressed(settings: dict[str, Any]) -> tuple[list[int], str]:
    """Run eight takers to their end; return when their takes were decided, and their complaints."""
    script = Path(__file__).parent / "taker.py"
    takers = [
        subprocess.Popen(
            [sys.executable, str(script), json.dumps({**settings, "lane": lane})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for lane in LANES
    ]
    try:
        for taker in takers:
            assert taker.stdout is not None
            assert taker.stdout.readline() == "ready\n"
        for taker in takers:
            assert taker.stdin is not None
            taker.stdin.write("go\n")
            taker.stdin.flush()
        outputs = [taker.communicate(timeout=120) for taker in takers]
    finally:
        for taker in takers:
            taker.kill()
            taker.communicate()
    complaints = "".join(errors for _, errors in outputs)
    assert [taker.returncode for taker in takers] == [0] * 8, complaints
    return sorted(int(line) for output, _ in outputs for line in output.split()), complaints


def test_eight_processes_stay_inside_a_budget_of_twenty_in_ten_seconds(
    table: Table, dynamodb_url: str
) -> None:
    """In no window of ten seconds do eight real processes get more than the share of twenty."""
    takes, _ = pressed(
        {
            "dynamodb": dynamodb_url,
            "table": table.name,
            "began": time.time(),
            "speed": 12,
            "busy_for": 45,
            "api": None,
        }
    )
    window = 10_000_000
    busiest = max(sum(start <= at <= start + window for at in takes) for start in takes)
    assert busiest <= SMALL.allowed == 16
    # 45 s of pressure allow 4 + 45 / 0.83 = 57 calls: an idle budget would prove nothing.
    assert len(takes) > 25


@pytest.mark.workerd
def test_the_api_never_sees_more_than_it_allows(
    table: Table, dynamodb_url: str, tmp_path: Path
) -> None:
    """An API that takes twenty calls in ten seconds answers eight processes without one 429."""
    began, speed = time.time(), 4
    with Emulator(
        tmp_path, calls=20, window=10, clock=lambda: began + (time.time() - began) * speed
    ).start() as emulator:
        api = {
            "url": emulator.base_url,
            "account": emulator.account.account_id,
            "token": emulator.api_token,
        }
        takes, complaints = pressed(
            {
                "dynamodb": dynamodb_url,
                "table": table.name,
                "began": began,
                "speed": speed,
                "busy_for": 40,
                "api": api,
            }
        )
        stats = httpx.get(f"{emulator.control_url}/stats").json()
    assert stats["rate_limited"] == 0
    assert stats["peak_5min"] <= 20
    assert complaints == ""
    assert stats["total"] == len(takes) > 25
