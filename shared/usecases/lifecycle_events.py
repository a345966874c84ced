"""What the event bus hears of a tenant's life, written with the state that it speaks of."""

from datetime import datetime
from typing import Any, Final

from shared.aws.items import outbox_put
from shared.aws.table import Put
from shared.domain.lifecycle import iso
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control

__all__ = ["RETURNING", "cut_off_event", "lifecycle_event"]

RETURNING: Final = {
    None: "TenantReady",
    "resumed": "TenantResumed",
    "restored": "TenantRestored",
}
"""The event of a tenant that is live, by how it came (back)."""

_CUT_OFF: Final = {
    TenantStatus.SUSPENDED: "TenantSuspended",
    TenantStatus.CLOSING: "TenantClosing",
}


def lifecycle_event(
    control: Control, detail_type: str, tenant: Tenant, *, trace: str, **more: Any
) -> Put:
    """Return the write of an event about a tenant as it is after the change."""
    detail = {
        "fleet": control.settings.fleet,
        "tenant_id": tenant.tenant_id,
        "episode": tenant.episode,
        "trace": trace,
        **{
            name: iso(value) if isinstance(value, datetime) else value
            for name, value in more.items()
        },
    }
    return outbox_put(control.now(), "event", detail_type, detail)


def cut_off_event(control: Control, tenant: Tenant, trace: str) -> Put | None:
    """Return the event of a tenant whose access was just cut, None for other statuses."""
    detail_type = _CUT_OFF.get(tenant.status)
    if detail_type is None:
        return None
    more: dict[str, Any] = {"reason": tenant.reason}
    if tenant.grace_ends_at is not None:
        more["grace_ends_at"] = tenant.grace_ends_at
    return lifecycle_event(control, detail_type, tenant, trace=trace, **more)
