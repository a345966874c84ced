"""The brakes of leaving: too many deletes are stopped, too many departures are told of."""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Final

from shared.aws.table import Put
from shared.domain.breaker import WINDOW, Breaker, Permit, Stopped, Trip, deletes_allowed, weigh
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict, Transient
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control
from shared.usecases.tell import tell_now

__all__ = [
    "STOPPED_WAIT",
    "DeletesStopped",
    "confirm_deletes",
    "count_delete",
    "due_deletes",
    "note_departure",
    "take_delete",
    "usual_deletes",
]

STOPPED_WAIT: Final = 900.0
COUNTED: Final = (
    TenantStatus.ACTIVE,
    TenantStatus.SUSPENDED,
    TenantStatus.CLOSING,
)
MOST_COUNTED: Final = 100_000
MOST_RECOUNTED: Final = 1_000

log = logging.getLogger("d1fleet")


class DeletesStopped(Transient):
    """Say that the breaker is open: nothing is deleted until a person has looked."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"deletes are stopped: {reason}; see `d1fleet breaker status`",
            retry_after=STOPPED_WAIT,
        )


def take_delete(control: Control) -> Put:
    """Return the write that counts one more delete, for the transaction that makes it possible.

    Raises:
        DeletesStopped: the breaker is open, or this one would be too many and opened it.
        Conflict: somebody else changed the breaker meanwhile.
    """
    breaker, now = control.breaker.read(), control.now()
    usual = _usual(control, breaker)
    due = due_deletes(control, most=breaker.most(usual, now) + 1)
    verdict = weigh(breaker, due=max(1, due), usual=usual, now=now)
    if isinstance(verdict, Trip):
        # The index lags: what passed a moment ago may still be listed, and be counted twice.
        verdict = weigh(breaker, due=max(1, _still_due(control)), usual=usual, now=now)
    match verdict:
        case Permit():
            return control.breaker.count(breaker, now)
        case Stopped(reason=reason):
            raise DeletesStopped(reason)
        case Trip(reason=reason):
            _open(control, breaker, reason)
            raise DeletesStopped(reason)


def count_delete(control: Control) -> Put:
    """Return the write that counts a delete that a person asked for by name.

    That person's word is what an open breaker waits for, so it opens none: but while one is open
    nothing goes.

    Raises:
        DeletesStopped: the breaker is open.
    """
    breaker = control.breaker.read()
    if breaker.reason is not None:
        raise DeletesStopped(breaker.reason)
    return control.breaker.count(breaker, control.now())


def due_deletes(control: Control, *, most: int) -> int:
    """Count the closing tenants whose databases are due within the next window, up to `most`."""
    return sum(1 for _ in islice(_due(control), most))


def _still_due(control: Control) -> int:
    """Count what is due by the records themselves, up to a number that is too many anywhere."""
    hints = islice(_due(control), MOST_RECOUNTED)
    read = (control.state.tenant(hint.tenant_id) for hint in hints)
    return sum(1 for tenant in read if tenant is not None and _is_due(tenant))


def confirm_deletes(control: Control, trace: str) -> int:
    """Let everything that is due now be deleted within the next window; return how many that is.

    Raises:
        Conflict: somebody else changed the breaker meanwhile.
    """
    breaker, now = control.breaker.read(), control.now()
    due = [tenant.tenant_id for tenant in islice(_due(control), MOST_COUNTED)]
    allowed = len(due) + breaker.recent(now)
    control.state.commit(also=[control.breaker.reset(breaker, allowed, now)])
    log.warning("an operator lets %d databases be deleted", len(due))
    control.enqueue("tenant", *due, trace=trace)
    return len(due)


def _due(control: Control) -> Iterator[Tenant]:
    before = control.now() + WINDOW
    for tenant in control.state.tenants(TenantStatus.CLOSING, due_before=before):
        in_time = tenant.grace_ends_at is None or tenant.grace_ends_at < before
        if in_time and _is_due(tenant):
            yield tenant


def _is_due(tenant: Tenant) -> bool:
    """Say whether a tenant's database is still to be deleted."""
    closing = tenant.status is TenantStatus.CLOSING and not tenant.past_no_return
    return closing and tenant.database_ulid is not None


def note_departure(control: Control, tenant: Tenant, trace: str) -> None:
    """Count a tenant that was just cut off; alert once when there are many within an hour."""
    now = control.now()
    count = control.breaker.note(str(tenant.status), now)
    # Below the least that a day may have nothing needs to be looked up.
    if count <= deletes_allowed(control.settings.max_deletes_per_day, 0):
        return
    if count != usual_deletes(control) + 1:
        return
    alert = alert_put(
        now,
        kind=f"mass_{tenant.status}",
        severity="error",
        subject=now.strftime("%Y-%m-%dT%H"),
        summary=f"{count} tenants became {tenant.status} within an hour; the last: {tenant.reason}",
        trace=trace,
    )
    control.state.table.write(alert)
    tell_now(control, alert)


def usual_deletes(control: Control) -> int:
    """Return how many deletes a day may have without a word of anybody's; counts the fleet."""
    counts = (control.state.count_tenants(status, limit=MOST_COUNTED) for status in COUNTED)
    return deletes_allowed(control.settings.max_deletes_per_day, sum(counts))


def _open(control: Control, breaker: Breaker, reason: str) -> None:
    now = control.now()
    alert = alert_put(
        now,
        kind="breaker_open",
        severity="critical",
        subject="deletes",
        summary=f"all deletes are stopped: {reason}; look, then `d1fleet breaker reset`",
    )
    try:
        control.state.commit(also=[control.breaker.open(breaker, reason, now), alert])
    except Conflict:
        log.info("somebody else changed the breaker, it is weighed again")
        raise
    log.error("the breaker opened: %s", reason)
    tell_now(control, alert)


def _usual(control: Control, breaker: Breaker) -> int:
    """Return how many deletes a day may usually have; the fleet is counted only if that matters."""
    setting = control.settings.max_deletes_per_day
    least = deletes_allowed(setting, 0)
    if setting or breaker.recent(control.now()) + due_deletes(control, most=least + 1) <= least:
        return least
    return usual_deletes(control)
