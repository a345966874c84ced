"""A drift pass over a large fleet, and the pure decision over larger ones.

Each size runs in a process of its own, so that its peak memory is its own.
"""

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from bench.drift_account import (
    ACCOUNT,
    FLEET,
    SHARDS,
    MemoryTable,
    make_fleet,
    serving,
    ulid_of,
    uuid_of,
)
from bench.rows import Row, Sample, Target
from bench.scale import Scale
from shared.aws.fleet import FleetStore
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.cloudflare.client import CloudflareClient
from shared.domain.database import DatabaseStatus
from shared.domain.drift.databases import Pointer, Recorded, compare_databases
from shared.domain.drift.routes import Home, Route, compare_routes
from shared.router.client import RouterClient
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.gather_bindings import gather_bindings
from shared.usecases.gather_contents import begin_measuring, compare_measured, measure_part
from shared.usecases.gather_databases import gather_databases
from shared.usecases.gather_routes import look_at_routes, suspect_routes
from shared.usecases.look_for_drift import AT_ONCE
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside

__all__ = ["measure_drift"]

ROOT: Final = Path(__file__).resolve().parents[1]
WRANGLERS_PAGE: Final = 10
PER_SECOND: Final = 4
PART: Final = 10
MOST_CALLS: Final = 19
ODD: Final = 1000
"""One in so many differs, so that what differs is judged too."""


def measure_drift(scale: Scale) -> Iterator[Row]:
    """Measure a pass over the emulated account, and the decision from 10,000 tenants on."""
    account = make_fleet(scale.drift)
    with serving(account) as url:
        pass_ = _in_process("pass", scale.drift, url)
        asked = account.calls["list"] + account.calls["settings"]
        memory = _in_process("memory", scale.drift, url)["megabytes"]
    if asked != pass_["calls"]:
        raise AssertionError(f"{asked} calls came, {pass_['calls']} were counted")
    with serving(make_fleet(scale.drift // PART)) as url:
        wrangler = _wrangler(url)
    pages = -(-scale.drift // WRANGLERS_PAGE)
    of = f"{scale.drift:,} tenants, {SHARDS} shards"
    listing = "wrangler's listing"
    yield Row(
        f"REST calls of a drift pass, {of}",
        "calls",
        Sample.of([pass_["calls"]]),
        Sample.of([float(pages)]),
        listing,
        Target("ours", MOST_CALLS),
        f"at {PER_SECOND} calls a second, the account's limit, {pages / PER_SECOND / 60:.0f} min",
    )
    yield Row(
        f"a drift pass, {of}",
        "s",
        Sample.of([pass_["seconds"]]),
        Sample.of([wrangler["seconds"] * PART]),
        listing,
        note=f"wrangler's is {PART} times that of a fleet {PART} times smaller",
    )
    yield Row(
        "peak memory of a drift pass, by itself",
        "MB",
        Sample.of([memory]),
        Sample.of([wrangler["megabytes"]]),
        f"{listing}, with node",
        note=f"wrangler's of a fleet {PART} times smaller",
    )
    sizes = [10_000, 100_000, *([1_000_000] if scale.whole else [])]
    seconds = {}
    for size in sizes:
        found = _in_process("decide", size)
        seconds[size] = found["seconds"]
        yield Row(
            f"the pure decision, {size:,} tenants",
            "s",
            Sample.of([found["seconds"]]),
            note=f"{found['found']} differences",
        )
    small, large = sizes[0], sizes[-1]
    yield Row(
        f"time a tenant, {large:,} beside {small:,}",
        "x",
        Sample.of([seconds[large] / large / (seconds[small] / small)]),
        target=Target("ours", 3),
        note="1 is linear",
        indicative=not scale.whole,
    )


def _in_process(what: str, size: int, *more: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.drift", what, str(size), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _wrangler(url: str) -> dict[str, float]:
    """Have wrangler list the account's databases."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        subprocess.run(
            [str(ROOT / "node_modules" / ".bin" / "wrangler"), "d1", "list", "--json"],
            cwd=folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": folder,
                "CLOUDFLARE_API_BASE_URL": url,
                "CLOUDFLARE_API_TOKEN": "t",
                "CLOUDFLARE_ACCOUNT_ID": ACCOUNT,
                "WRANGLER_SEND_METRICS": "false",
                "CI": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        return {
            "seconds": time.perf_counter() - begun,
            "megabytes": max(before, after) / 1024,
        }


# In a process of its own


class _NoBudget:
    """Let every call pass: here they are only counted."""

    def take(self, *_: Any) -> None:
        return

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None


def _pass(size: int, url: str, *, traced: bool) -> dict[str, Any]:
    fleet = make_fleet(size)
    table = MemoryTable(fleet)
    needed = [name for name, field in Settings.model_fields.items() if field.is_required()]
    fields = dict.fromkeys(needed, "bench") | {"cloudflare_account_id": ACCOUNT, "fleet": FLEET}
    settings = Settings.model_validate(fields)

    def now() -> datetime:
        return datetime.now(UTC)

    control = Control(
        settings=settings,
        now=now,
        state=State(table),
        pools=Pools(table),
        fleet=FleetStore(table),
        queues=None,  # type: ignore[arg-type] # looking sends nothing
        outbox=None,  # type: ignore[arg-type]
        who="bench",
    )
    with httpx.Client(base_url=url) as api, httpx.Client() as door:
        cloudflare = CloudflareClient(
            api, account_id=ACCOUNT, token="t", budget=_NoBudget(), clock=now
        )
        router = RouterClient(
            door,
            url=url,
            script=f"{FLEET}-pool",
            fleet_uid=fleet.items["FLEET", "META"]["uid"],
            secret=lambda: "whsec_" + "QUJD" * 10,
            clock=now,
        )
        outside = Outside(
            cloudflare=lambda: cloudflare,
            router=lambda: router,
            admin_secret=lambda: "",
            migrations=_NoMigrations(),  # type: ignore[arg-type] # nothing was pushed
            channels=lambda: (),
        )
        if traced:
            tracemalloc.start()
        begun = time.perf_counter()
        looking = Looking(control, outside, dict, now())
        found = [*gather_databases(looking, None, 1).drifts]
        for number in range(1, SHARDS + 1):
            found += gather_bindings(looking, f"{FLEET}-pool-{number}")
        found += look_at_routes(looking, suspect_routes(looking)[0])
        measuring = begin_measuring(looking, (), AT_ONCE)
        while measuring.left:
            measure_part(looking, measuring)
        found += compare_measured(looking, measuring)
        seconds = time.perf_counter() - begun
    if found:
        raise AssertionError(f"{len(found)} differences where there are none: {found[0]}")
    megabytes = tracemalloc.get_traced_memory()[1] / 1e6 if traced else 0
    return {"seconds": seconds, "megabytes": megabytes, "calls": looking.calls}


class _NoMigrations:
    def head(self) -> None:
        return None


def _decide(size: int) -> dict[str, Any]:
    """Decide about a fleet a few times; give the median, so that a pause of the machine is none."""
    listed = {ulid_of(each): uuid_of(each) for each in range(size) if each % ODD}
    records, pointers, routes = _records(size), _pointers(size), _routes(size)
    seconds, found = [], 0
    for _ in range(max(3, min(20, 100_000 // size))):
        homes = {
            home.tenant_id: home
            for home in (
                Home(f"org_{each:07d}", "active", "s", "b", uuid_of(each), 3)
                for each in range(size)
            )
        }
        gc.collect()
        gc.freeze()  # what is given is not what is measured
        begun = time.perf_counter()
        missing = compare_databases(FLEET, listed, records, pointers, trusted=True)
        found = sum(1 for _ in missing) + sum(1 for _ in compare_routes(homes, routes))
        seconds.append(time.perf_counter() - begun)
        gc.unfreeze()
    return {"seconds": statistics.median(seconds), "found": found}


def _records(size: int) -> list[Recorded]:
    claimed = DatabaseStatus.CLAIMED
    return [
        Recorded(ulid_of(each), claimed, uuid_of(each), f"org_{each:07d}", 3)
        for each in range(size)
    ]


def _pointers(size: int) -> list[Pointer]:
    return [Pointer(f"org_{each:07d}", ulid_of(each), uuid_of(each)) for each in range(size)]


def _routes(size: int) -> list[list[Route]]:
    rows = [
        Route(f"org_{each:07d}", "active", "s", "b", uuid_of(each + (each % ODD == 0)), 3)
        for each in range(size)
    ]
    return [rows[start : start + 1000] for start in range(0, size, 1000)]


if __name__ == "__main__":
    kind, count = sys.argv[1], int(sys.argv[2])
    if kind == "decide":
        answer = _decide(count)
    else:
        answer = _pass(count, sys.argv[3], traced=kind == "memory")
    print(json.dumps(answer))
