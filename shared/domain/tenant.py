"""The tenant: a customer of the SaaS, and the states it can be in.

::

    pending ──▶ activating ──▶ active ⇄ suspended
       ▲            │             │         │
       │            ▼             ▼         ▼
    failed ◀── (gave up)        closing (grace) ──▶ closed
       └── retried                │                    │
                                  └── resumed:         └── signed up anew, or restored: pending
                                      activating, or pending when it has no database
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from shared.domain.lifecycle import Instant, Record

__all__ = ["SETTLED_TENANT", "Tenant", "TenantStatus"]


class TenantStatus(StrEnum):
    """Name what a tenant is."""

    PENDING = "pending"
    ACTIVATING = "activating"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


_S = TenantStatus
_NEXT: Final = {
    _S.PENDING: frozenset({_S.ACTIVATING, _S.CLOSING, _S.FAILED}),
    _S.ACTIVATING: frozenset({_S.ACTIVE, _S.SUSPENDED, _S.CLOSING, _S.FAILED}),
    _S.ACTIVE: frozenset({_S.ACTIVATING, _S.SUSPENDED, _S.CLOSING, _S.FAILED}),
    _S.SUSPENDED: frozenset({_S.ACTIVATING, _S.ACTIVE, _S.CLOSING, _S.FAILED}),
    _S.CLOSING: frozenset({_S.PENDING, _S.ACTIVATING, _S.ACTIVE, _S.CLOSED, _S.FAILED}),
    _S.CLOSED: frozenset({_S.PENDING, _S.ACTIVATING}),
    _S.FAILED: frozenset({_S.PENDING, _S.ACTIVATING, _S.CLOSING}),
}

SETTLED_TENANT: Final = frozenset({_S.ACTIVE, _S.CLOSED})
"""Statuses in which nothing is on its way: the sweep leaves them alone."""

_ROUTED_LATER: Final = frozenset({_S.SUSPENDED, _S.CLOSING, _S.FAILED})
"""Statuses that are settled once the directory holds them too."""


class Tenant(Record):
    """Hold what is known of one tenant.

    `episode` counts the lives of an id that left and came back. `known_at` and `removed_at` are
    the auth provider's own times, for events that come out of order. `routed_status` is the last
    state that the directory is known to hold. `failed_by_pool` says that a tenant failed for want
    of databases: it goes on by itself once they can be made again.
    """

    tenant_id: str
    status: TenantStatus
    episode: int = 1
    class_: Annotated[str, Field(alias="class")]
    provider: str | None = None
    display_name: str | None = None
    database_ulid: str | None = None
    database_id: str | None = None
    database_name: str | None = None
    binding: str | None = None
    shard: str | None = None
    schema_version: str = ""
    known_at: Instant | None = None
    removed_at: Instant | None = None
    grace_ends_at: Instant | None = None
    routed_status: str | None = None
    failed_by_pool: bool = False

    @property
    def settled(self) -> bool:
        """Say whether nothing is on its way for this tenant."""
        if self.status in _ROUTED_LATER:
            return self.routed_status == self.status
        return self.status in SETTLED_TENANT

    def moved(self, to: TenantStatus, now: datetime, **changes: Any) -> "Tenant":
        """Return the tenant in its next status.

        Raises:
            BadTransition: the lifecycle has no such step.
        """
        changes = {"failed_by_pool": False, **changes}
        if to is TenantStatus.ACTIVATING:
            # From here on the directory may be told "active": what it held before proves nothing,
            # or a tenant that is closed again meanwhile would be taken for routed and stay open.
            changes = {"routed_status": None, **changes}
        return self._moved(to, now, _NEXT, changes)
