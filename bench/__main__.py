"""`make bench`: measure, print a table, keep the numbers. docs/benchmarks.md explains the rows."""

import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench.backups import measure_backups
from bench.drift import measure_drift
from bench.fleet import run_fleet
from bench.imports import measure_imports
from bench.latency import Latency
from bench.leaving import measure_leaving
from bench.proof_of_concept import ProofOfConcept
from bench.queries import measure_queries
from bench.rows import Row, as_document, verdict
from bench.scale import FULL, QUICK, Scale
from bench.signups import measure_cold, measure_refill, measure_warm

RESULTS: Final = Path(__file__).resolve().parent / "results"
ON_FLEET: Final = ("cold", "refill", "warm", "leaving")
PARTS: Final = (*ON_FLEET, "queries", "imports", "backups", "drift")
WIDTH: Final = 160
"""Of the table where there is no terminal: a log, a pipe."""
STYLES: Final = {"met": "green", "missed": "red", "none set": "dim", "not this run": "yellow"}


def _measure_on_fleet(
    wanted: Collection[str], scale: Scale, latency: Latency, console: Console
) -> Iterator[Row]:
    console.print("starting a fleet on this machine")
    with run_fleet(latency) as fleet:
        fleet.set_latency(None)
        with ProofOfConcept(fleet.description["cloudflare"]) as poc:
            fleet.settle()
            fleet.set_latency(latency)
            if "cold" in wanted:
                console.print("signing up with an empty pool, in turn with the reference")
                yield from measure_cold(fleet, poc, scale)
            if "refill" in wanted:
                console.print(f"filling the pool with {scale.refill} databases")
                yield from measure_refill(fleet, scale)
            if "warm" in wanted:
                if fleet.ready() < scale.warm:
                    fleet.set_latency(None)
                    fleet.refill(scale.warm)
                    fleet.set_latency(latency)
                console.print("signing up with a warm pool, in turn with the reference")
                yield from measure_warm(fleet, poc, scale)
        if "leaving" in wanted:
            console.print("suspending, resuming and ending tenants")
            yield from measure_leaving(fleet, scale)


def _measure(
    wanted: Collection[str], scale: Scale, latency: Latency, console: Console
) -> Iterator[Row]:
    if "imports" in wanted:
        console.print("importing each function in fresh processes")
        yield from measure_imports(scale.imports)
    if "backups" in wanted:
        console.print(f"dumping, loading and hashing a database of {scale.backup} MB")
        yield from measure_backups(scale.backup)
    if "drift" in wanted:
        console.print(f"comparing {scale.drift:,} tenants with their account")
        yield from measure_drift(scale)
    if "queries" in wanted:
        console.print("querying in workerd")
        yield from measure_queries(scale)
    if any(part in wanted for part in ON_FLEET):
        yield from _measure_on_fleet(wanted, scale, latency, console)


def _number(value: float, unit: str) -> str:
    return f"{value:.0f}" if unit == "per s" else f"{value:.3g}" if value else "0"


def main_table(rows: Collection[Row]) -> Table:
    table = Table("what", "ours", "min to max", "n", "beside it", "ratio", "target", "")
    for row in rows:
        low, high = min(row.ours.values), max(row.ours.values)
        spread = f"{_number(low, row.unit)} to {_number(high, row.unit)}"
        beside = ""
        if row.reference is not None:
            beside = f"{_number(row.reference.median, row.unit)} {row.reference_name}"
        result = verdict(row)
        table.add_row(
            row.name,
            f"{_number(row.ours.median, row.unit)} {row.unit}",
            spread if len(row.ours.values) > 1 else "",
            str(len(row.ours.values)),
            beside,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            "" if row.target is None else str(row.target),
            "" if row.target is None else f"[{STYLES[result]}]{result}[/]",
        )
    return table


@click.command()
@click.option("--only", multiple=True, type=click.Choice(PARTS), help="Measure only this part.")
@click.option("--quick", is_flag=True, help="A short run, to see that nothing is far off.")
@click.option("--create-ms", default=Latency.create, show_default=True)
@click.option("--query-ms", default=Latency.query, show_default=True)
@click.option("--settings-ms", default=Latency.settings, show_default=True)
@click.option("--redeploy-ms", default=Latency.redeploy, show_default=True)
def main(
    only: tuple[str, ...],
    quick: bool,
    create_ms: int,
    query_ms: int,
    settings_ms: int,
    redeploy_ms: int,
) -> None:
    """Measure d1fleet beside its references, on this machine.

    Exits with 1 if a row misses its target.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    latency = Latency(create_ms, query_ms, settings_ms, redeploy_ms)
    begun, clock = datetime.now(UTC), time.monotonic()
    rows = list(_measure(only or PARTS, QUICK if quick else FULL, latency, console))
    console.print(main_table(rows))
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", style="dim", markup=False)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{begun:%Y%m%dT%H%M%SZ}.json"
    about = {
        "at": begun.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - clock, 1),
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "quick": quick,
        "latency_ms": vars(latency),
        "machine": {
            "cpus": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "load": os.getloadavg()[0],
        },
    }
    path.write_text(json.dumps(as_document(rows, about), indent=2) + "\n", encoding="utf-8")
    console.print(f"{about['seconds']} s; kept in {path}", markup=False, soft_wrap=True)
    if any(verdict(row) == "missed" for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
