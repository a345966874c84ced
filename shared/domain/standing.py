"""What a tenant should be, after all words about it.

Billing may suspend and close; nothing here deletes.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from shared.domain.tenant import Tenant, TenantStatus

__all__ = ["FREE", "Entitlement", "Right", "settle"]


class Right(StrEnum):
    """Name what all of a tenant's subscriptions together entitle it to."""

    FREE = "free"
    ACTIVE = "active"
    GRACE = "grace"
    SUSPENDED = "suspended"
    ENDED = "ended"


@dataclass(frozen=True)
class Entitlement:
    """Say what all of a tenant's subscriptions together entitle it to.

    `said_at` is the newest word of billing that it rests on (the provider's time, else the
    receipt's), `began_at` when the newest subscription that entitles began, `ends_at` a scheduled
    end, to be shown, `changes_at` when it changes by itself: the end of a past-due grace. `reason`
    is for people.
    """

    right: Right
    said_at: datetime | None = None
    began_at: datetime | None = None
    ends_at: datetime | None = None
    changes_at: datetime | None = None
    reason: str = ""


FREE: Final = Entitlement(Right.FREE)
"""A tenant without any subscription."""

_S = TenantStatus


def settle(
    tenant: Tenant,
    entitlement: Entitlement,
    *,
    now: datetime,
    grace: timedelta,
    require_subscription: bool = False,
    closing_id: str | None = None,  # noqa: ARG001 - names the closing that may begin
) -> Tenant:
    """Return the tenant as all words together want it: the same object when nothing changes.

    `grace` counts from `now` when this begins a closing.
    """
    if tenant.status in {_S.CLOSED, _S.FAILED}:
        return tenant
    match entitlement.right:
        case Right.FREE if require_subscription:
            return _suspended(tenant, now, entitlement.reason or "no subscription")
        case Right.FREE | Right.ACTIVE | Right.GRACE:
            return _served(tenant, entitlement, now)
        case Right.SUSPENDED:
            return _suspended(tenant, now, entitlement.reason)
        case Right.ENDED:
            if tenant.status is _S.CLOSING:
                return tenant
            ends = now + grace
            return tenant.moved(_S.CLOSING, now, reason=entitlement.reason, grace_ends_at=ends)


def _served(tenant: Tenant, entitlement: Entitlement, now: datetime) -> Tenant:
    if tenant.status not in {_S.SUSPENDED, _S.CLOSING}:
        return tenant
    began = entitlement.began_at
    if tenant.removed_at is not None and not (began is not None and began > tenant.removed_at):
        return tenant
    to = _S.PENDING if tenant.database_ulid is None else _S.ACTIVATING
    return tenant.moved(to, now, reason=None, grace_ends_at=None, removed_at=None)


def _suspended(tenant: Tenant, now: datetime, why: str) -> Tenant:
    if tenant.status in {_S.SUSPENDED, _S.PENDING} or tenant.removed_at is not None:
        return tenant
    if tenant.status is _S.CLOSING:
        if tenant.database_ulid is None:
            return tenant
        tenant = tenant.moved(_S.ACTIVATING, now, grace_ends_at=None)
    return tenant.moved(_S.SUSPENDED, now, reason=why)
