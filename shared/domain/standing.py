"""What a tenant should be: the words of the auth provider, of billing and of the operator, weighed.

Whoever spoke last about it counts, and each only where it may speak:

- The operator's word outranks what was said before it, until billing or the auth provider says
  something newer.
- A deletion at the auth provider closes the tenant; a subscription that began after it, or a new
  signup, brings it back.
- Otherwise billing decides: entitled is served, suspended is suspended, ended is closed.

Billing may suspend and close; nothing here deletes. The same words give the same answer in whatever
order they came.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, assert_never

from shared.domain.tenant import OperatorWord, Tenant, TenantStatus

__all__ = ["FREE", "Entitlement", "Right", "Target", "operators_word", "settle", "wanted"]


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


class Target(StrEnum):
    """Name what a tenant should be."""

    SERVED = "served"
    SUSPENDED = "suspended"
    CLOSED = "closed"


_S = TenantStatus


def wanted(
    tenant: Tenant, entitlement: Entitlement, *, require_subscription: bool
) -> tuple[Target, str]:
    """Return what a tenant should be, and why, for people."""
    if (word := operators_word(tenant, entitlement)) is not None:
        match word:
            case OperatorWord.SUSPEND:
                return Target.SUSPENDED, "suspended by an operator"
            case OperatorWord.RESUME:
                return Target.SERVED, ""
            case OperatorWord.CLOSE:
                return Target.CLOSED, "closed by an operator"
            case _:
                assert_never(word)
    served = entitlement.right in {Right.ACTIVE, Right.GRACE}
    if tenant.removed_at is not None and not _undone(tenant):
        began = entitlement.began_at
        if not (served and began is not None and began > tenant.removed_at):
            return Target.CLOSED, "deleted at the auth provider"
    match entitlement.right:
        case Right.FREE if require_subscription:
            return Target.SUSPENDED, entitlement.reason or "no subscription"
        case Right.FREE | Right.ACTIVE | Right.GRACE:
            return Target.SERVED, ""
        case Right.SUSPENDED:
            return Target.SUSPENDED, entitlement.reason
        case Right.ENDED:
            return Target.CLOSED, entitlement.reason


def operators_word(tenant: Tenant, entitlement: Entitlement) -> OperatorWord | None:
    """Return the operator's word if nobody said anything newer."""
    said = tenant.operator_at
    if tenant.operator is None or said is None:
        return None
    newer = (entitlement.said_at, tenant.removed_at)
    return None if any(at is not None and at > said for at in newer) else tenant.operator


def _undone(tenant: Tenant) -> bool:
    """Say whether an operator brought the tenant back after its deletion.

    For good, and not only until billing says the next thing.
    """
    said, removed = tenant.operator_at, tenant.removed_at
    if tenant.operator is not OperatorWord.RESUME or said is None or removed is None:
        return False
    return said >= removed


def settle(
    tenant: Tenant,
    entitlement: Entitlement,
    *,
    now: datetime,
    grace: timedelta,
    require_subscription: bool = False,
    closing_id: str | None = None,
) -> Tenant:
    """Return the tenant as all words together want it: the same object when nothing changes.

    `grace` counts from `now` when this begins a closing, unless the tenant has its own;
    `closing_id` names that closing (without one, a name is derived from the tenant's version).
    """
    target, why = wanted(tenant, entitlement, require_subscription=require_subscription)
    match target:
        case Target.SERVED:
            return _served(tenant, now)
        case Target.SUSPENDED:
            return _suspended(tenant, now, why)
        case Target.CLOSED:
            if tenant.status in {_S.CLOSING, _S.CLOSED}:
                return tenant
            return tenant.moved(
                _S.CLOSING,
                now,
                reason=why,
                grace_ends_at=now + (grace if tenant.grace is None else tenant.grace),
                closing_id=closing_id or f"{tenant.episode}-{tenant.version}",
                access_cut_at=None,
                returning=None,
            )
        case _:
            assert_never(target)


def _served(tenant: Tenant, now: datetime) -> Tenant:
    if tenant.status not in {_S.SUSPENDED, _S.CLOSING}:
        return tenant
    back: dict[str, Any] = {"reason": None, "returning": tenant.returning or "resumed"}
    if tenant.past_no_return:
        # Its database may be gone already: the backup that was proven for this closing comes back.
        return tenant.without_database(now, **back)
    if tenant.database_ulid is None:
        return tenant.moved(_S.PENDING, now, **back)
    return tenant.moved(_S.ACTIVATING, now, **back)


def _suspended(tenant: Tenant, now: datetime, why: str) -> Tenant:
    stays = {_S.SUSPENDED, _S.CLOSED, _S.FAILED}
    if (
        tenant.status in stays
        or tenant.past_no_return
        or (tenant.status is _S.PENDING and tenant.wants_restore)
    ):
        return tenant
    return tenant.moved(_S.SUSPENDED, now, reason=why)
