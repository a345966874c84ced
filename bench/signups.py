"""Signups and refills on a running fleet, beside the proof of concept on the same emulator."""

from bench.fleet import Fleet
from bench.proof_of_concept import CALLS, ProofOfConcept
from bench.rows import Row, Sample, Target
from bench.scale import Scale

__all__ = ["calls_between", "measure_cold", "measure_refill", "measure_warm", "told"]

REFERENCE = "the proof of concept's calls"
CREATE = "POST /accounts/{a}/d1/database"


def calls_between(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return the calls by route that came between two counts."""
    more = {route: count - before.get(route, 0) for route, count in after.items()}
    return {route: count for route, count in more.items() if count}


def told(calls: dict[str, int]) -> str:
    """Return counts by route as a person reads them, the most frequent first."""
    ordered = sorted(calls.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} {route.replace('/accounts/{a}', '')}" for route, count in ordered)


def measure_cold(fleet: Fleet, poc: ProofOfConcept, scale: Scale) -> list[Row]:
    """Sign tenants up while the pool is empty, in turn with the reference."""
    fleet.sign_up()  # the first meets functions that were never called, and does not count
    fleet.quiet_calls()
    ours, reference = [], []
    own: dict[str, int] = {}
    for _ in range(scale.cold):
        before = fleet.calls()
        ours.append(fleet.sign_up())
        for route, count in calls_between(before, fleet.quiet_calls()).items():
            own[route] = own.get(route, 0) + count
        reference.append(poc.sign_up())
        fleet.settle()
    return [
        Row(
            "webhook to first answer, pool empty",
            "s",
            Sample.of(ours),
            Sample.of(reference),
            REFERENCE,
            note=f"REST calls of {scale.cold} signups: {told(own)}",
            extra={"calls": own},
            paired=True,
        )
    ]


def measure_refill(fleet: Fleet, scale: Scale) -> list[Row]:
    """Fill the empty pool, and count what that costs."""
    before = fleet.calls()
    seconds = fleet.refill(scale.refill)
    calls = calls_between(before, fleet.quiet_calls())
    others = {route: count for route, count in calls.items() if route != CREATE}
    return [
        Row(
            f"REST calls per database, refill of {scale.refill}",
            "calls",
            Sample.of([sum(calls.values()) / scale.refill]),
            Sample.of([float(CALLS)]),
            REFERENCE,
            Target("ours", 1.1),
            f"beside the creates: {told(others)}",
            {"calls": calls},
            indicative=not scale.whole,
        ),
        Row(
            f"the same refill of {scale.refill}, per database",
            "s",
            Sample.of([seconds / scale.refill]),
            note=f"{seconds:.1f} s in all",
        ),
    ]


def measure_warm(fleet: Fleet, poc: ProofOfConcept, scale: Scale) -> list[Row]:
    """Sign tenants up with databases in the pool, in turn with the reference."""
    ours: list[float] = []
    reference: list[float] = []
    before = fleet.quiet_calls()
    every = max(1, scale.warm // scale.warm_reference)
    for run in range(scale.warm):
        ours.append(fleet.sign_up())
        if run % every == 0 and len(reference) < scale.warm_reference:
            reference.append(poc.sign_up())
            fleet.settle()
    calls = calls_between(before, fleet.quiet_calls())
    own = sum(calls.values()) - CALLS * len(reference)
    return [
        Row(
            "webhook to first answer, warm pool",
            "s",
            Sample.of(ours),
            Sample.of(reference),
            REFERENCE,
            Target("ours", 2.0),
        ),
        Row(
            "REST calls per tenant, warm signup",
            "calls",
            Sample.of([own / scale.warm]),
            Sample.of([float(CALLS)]),
            REFERENCE,
            Target("ours", 0),
            f"over {scale.warm} signups",
        ),
    ]
