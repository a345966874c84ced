"""What it costs at Cloudflare's API that a tenant is suspended and resumed, and that one leaves."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from bench.fleet import Fleet, NeverCame
from bench.rows import Row, Sample, Target
from bench.scale import Scale
from bench.signups import calls_between, told
from shared.domain.tenant import TenantStatus
from shared.usecases.operate_tenant import OperateTenant

__all__ = ["measure_leaving"]

PATIENCE: Final = 180.0
LEAST_TEARDOWN: Final = 2
"""Nobody can delete without these: the shard's settings without the binding, and the delete."""
LEAST_MOVE: Final = 1
"""Somebody who suspends by taking the binding away replaces the shard's settings."""


def measure_leaving(fleet: Fleet, scale: Scale) -> list[Row]:
    """Suspend and resume tenants, then let them leave one after the other; count the calls."""
    tenants = [_begin(fleet) for _ in range(scale.leaving)]
    before = fleet.quiet_calls()
    operate = OperateTenant(fleet.control)
    for tenant_id in tenants:
        operate.suspend(tenant_id, trace="bench")
        _wait(f"{tenant_id} answers 402", lambda one=tenant_id: _answer(fleet, one) == 402)
        operate.resume(tenant_id, trace="bench")
        _wait(f"{tenant_id} answers 200", lambda one=tenant_id: _answer(fleet, one) == 200)
    moved = calls_between(before, fleet.quiet_calls())
    each, gone = [], {}
    for tenant_id in tenants:
        before = fleet.quiet_calls()
        operate.close(tenant_id, grace=timedelta(0), without_backup=False, trace="bench")
        _wait(f"{tenant_id} is closed", lambda one=tenant_id: _closed(fleet, one))
        calls = calls_between(before, fleet.quiet_calls())
        each.append(float(sum(calls.values())))
        for route, count in calls.items():
            gone[route] = gone.get(route, 0) + count
    return [
        Row(
            "REST calls of one suspend and resume",
            "calls",
            Sample.of([sum(moved.values()) / len(tenants)]),
            Sample.of([2.0 * LEAST_MOVE]),
            "taking the binding away",
            Target("ours", 0),
            f"over {len(tenants)} tenants",
        ),
        Row(
            "REST calls of one teardown, proven",
            "calls",
            Sample.of(each),
            Sample.of([float(LEAST_TEARDOWN)]),
            "least possible, unproven",
            note=f"all of {len(tenants)}: {told(gone)}",
            extra={"calls": gone},
        ),
    ]


def _begin(fleet: Fleet) -> str:
    tenant_id = f"org_{uuid4().hex}"
    OperateTenant(fleet.control).provision(tenant_id, class_=None, display_name=None, trace="bench")
    _wait(f"{tenant_id} is live", lambda: _answer(fleet, tenant_id) == 200)
    return tenant_id


def _answer(fleet: Fleet, tenant_id: str) -> int:
    url = f"{fleet.description['app_url']}/t/{quote(tenant_id, safe='')}/notes"
    return fleet.http.get(url).status_code


def _closed(fleet: Fleet, tenant_id: str) -> bool:
    tenant = fleet.control.state.tenant(tenant_id)
    return tenant is not None and tenant.status is TenantStatus.CLOSED and tenant.settled


def _wait(what: str, look: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not look():
        if time.monotonic() > end:
            raise NeverCame(f"waited {PATIENCE:.0f} s in vain: {what}")
        time.sleep(0.05)
