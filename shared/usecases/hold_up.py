"""A tenant that can't go on until a person acts, though what was decided about it stands."""

import logging
from typing import Final

from shared.aws.items import Change
from shared.domain.outcomes import Outcome
from shared.domain.tenant import Tenant
from shared.errors import Conflict
from shared.usecases.alerts import alert_put
from shared.usecases.attempts import wait
from shared.usecases.context import Control
from shared.usecases.tell import tell_now

__all__ = ["hold_up"]

LOOK_AGAIN: Final = 1800.0
"""Seconds; longer than a message can wait, so that the sweep does the waiting."""
NOT_CUT_OFF: Final = 600.0
"""Seconds while the directory does not yet say what was decided: the app may still get in."""

log = logging.getLogger("d1fleet")


def hold_up(control: Control, tenant: Tenant, what: str, reason: str, trace: str) -> Outcome:
    """Write down what is in the tenant's way, alert once for each `what`, and look again later.

    The reason's text won't do to tell one from another: it names the request that was refused.
    """
    log.error("a tenant that is %s is held up: %s", tenant.status, reason)
    if not (tenant.held_up or "").startswith(f"{what}: "):
        now = control.now()
        alert = alert_put(
            now,
            kind="tenant_held_up",
            severity="error",
            subject=f"{tenant.tenant_id}/{what}",
            summary=f"{tenant.tenant_id} is {tenant.status} and can't go on: {reason}",
            tenant_id=tenant.tenant_id,
        )
        after = tenant.changed(now, held_up=f"{what}: {reason}")
        line = control.line("held up", why=reason, trace=trace)
        try:
            control.state.commit(Change(tenant, after, line), also=[alert])
        except Conflict:
            return wait(control, tenant, after=2, why="moved by somebody else meanwhile")
        tell_now(control, alert)
        tenant = after
    routed = tenant.routed_status == tenant.status
    after_ = LOOK_AGAIN if routed else NOT_CUT_OFF
    return wait(control, tenant, after=after_, why=reason, failures=tenant.failures)
