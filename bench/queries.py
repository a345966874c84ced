"""Queries and look-ups of the pool Workers in workerd, measured by `workerd/measure.mjs`."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

from bench.rows import Row, Sample, Target
from bench.scale import Scale

__all__ = ["measure_queries"]

ROOT: Final = Path(__file__).resolve().parents[1]
SCRIPT: Final = Path("bench") / "workerd" / "measure.mjs"


def measure_queries(scale: Scale) -> list[Row]:
    """Query through the client and the verbatim line, and look tenants up."""
    options = {
        "rounds": scale.rounds,
        "queries": scale.queries,
        "lookupRounds": scale.lookup_rounds,
        "lookups": scale.lookups,
    }
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(options)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the measurement in workerd failed:\n{done.stderr}")
    found = json.loads(done.stdout)
    return [*_query_rows(found["query"], scale), *_lookup_rows(found["lookup"])]


def _query_rows(query: dict[str, Any], scale: Scale) -> list[Row]:
    direct = Sample.of(query["direct"])
    each = f"each value the mean of {scale.queries} queries in one request"
    return [
        Row(
            "query through the client",
            "ms",
            Sample.of(query["client"]),
            direct,
            "direct binding",
            Target("ratio", 1.25),
            each,
            paired=True,
        ),
        Row(
            "query through the verbatim line",
            "ms",
            Sample.of(query["verbatim"]),
            direct,
            "direct binding",
            Target("ratio", 2.5),
            each,
            paired=True,
        ),
    ]


def _lookup_rows(lookup: dict[str, Any]) -> list[Row]:
    directory = Sample.of(lookup["directory"])
    return [
        Row(
            "directory look-ups, tenant not in memory",
            "per s",
            Sample.of(lookup["fresh"]),
            directory,
            "the directory asked directly",
            note="32 at once; higher is better",
            paired=True,
        ),
        Row(
            "directory look-ups, tenant in memory",
            "per s",
            Sample.of(lookup["known"]),
            directory,
            "the directory asked directly",
            note="32 at once; higher is better",
            paired=True,
        ),
    ]
