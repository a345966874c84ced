"""The tenant: a customer of the SaaS, and the states it can be in.

::

    pending ──▶ activating ──▶ active ⇄ suspended
       ▲            │             │         │
       │            ▼             ▼         ▼
    failed ◀── (gave up)        closing (grace) ──▶ closed
       └── retried                │                    │
                                  └── resumed:         └── signed up anew, or restored: pending
                                      activating, or pending when it has no database

What it should be follows from three words, the auth provider's, billing's and the operator's:
`shared.domain.standing` weighs them.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_serializer

from shared.domain.lifecycle import Instant, Record

__all__ = ["MISROUTED", "NO_CLOSING", "OperatorWord", "Tenant", "TenantStatus"]


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
    _S.PENDING: frozenset({_S.ACTIVATING, _S.SUSPENDED, _S.CLOSING, _S.FAILED}),
    _S.ACTIVATING: frozenset({_S.ACTIVE, _S.SUSPENDED, _S.CLOSING, _S.FAILED}),
    _S.ACTIVE: frozenset({_S.PENDING, _S.ACTIVATING, _S.SUSPENDED, _S.CLOSING, _S.FAILED}),
    _S.SUSPENDED: frozenset({_S.PENDING, _S.ACTIVATING, _S.CLOSING, _S.FAILED}),
    _S.CLOSING: frozenset({_S.PENDING, _S.ACTIVATING, _S.SUSPENDED, _S.CLOSED}),
    _S.CLOSED: frozenset({_S.PENDING}),
    _S.FAILED: frozenset({_S.PENDING, _S.ACTIVATING, _S.SUSPENDED, _S.CLOSING}),
}

MISROUTED: Final = "misrouted"
"""What `routed_status` is of a tenant whose row in the directory was found to be another."""

_ROUTED_LATER: Final = frozenset({_S.SUSPENDED, _S.CLOSED, _S.FAILED})
"""Statuses that are settled once the directory holds them too."""

_NO_DATABASE: Final = {
    "database_ulid": None,
    "database_id": None,
    "database_name": None,
    "binding": None,
    "shard": None,
    "schema_version": "",
}
NO_CLOSING: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "closing_id": None,
        "grace": None,
        "grace_ends_at": None,
        "access_cut_at": None,
        "without_backup": False,
        "past_no_return": False,
    }
)
"""What a tenant has of a closing that is over: nothing."""


class OperatorWord(StrEnum):
    """Name what an operator last decided about a tenant."""

    SUSPEND = "suspend"
    RESUME = "resume"
    CLOSE = "close"


class Tenant(Record):
    """Hold what is known of one tenant.

    `episode` counts the lives of an id that left and came back. `known_at` and `removed_at` are
    the auth provider's own times, for events that come out of order. `routed_status` is the last
    state that the directory is known to hold. `failed_by_pool` says that a tenant failed for want
    of databases: it goes on by itself once they can be made again. `operator` is what an operator
    last decided, until a newer word of somebody else's.

    A closing has an id, since a proof belongs to one closing; `grace` is this tenant's own grace
    period, `access_cut_at` since when the directory cuts access, `past_no_return` that its database
    may be deleted from now on: who comes back later gets `final_backup_id` restored. `restore_id`
    is the restore that a pending tenant waits for, or that takes the place of what another has once
    it is proven; `returning` how it came back, to be announced.
    `held_up` says what keeps its present status from being carried out until a person acts.
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
    routed_status: str | None = None
    failed_by_pool: bool = False
    operator: OperatorWord | None = None
    operator_at: Instant | None = None
    grace: timedelta | None = None
    grace_ends_at: Instant | None = None
    closing_id: str | None = None
    access_cut_at: Instant | None = None
    without_backup: bool = False
    past_no_return: bool = False
    final_backup_id: str | None = None
    restore_id: str | None = None
    returning: Literal["resumed", "restored"] | None = None
    held_up: str | None = None

    @field_serializer("grace")
    def _grace(self, grace: timedelta | None) -> int | None:
        return None if grace is None else int(grace.total_seconds())

    @property
    def settled(self) -> bool:
        """Say whether nothing is on its way for this tenant."""
        if self.status in _ROUTED_LATER:
            return self.routed_status == self.status
        return self.status is TenantStatus.ACTIVE and self.routed_status != MISROUTED

    @property
    def wants_restore(self) -> bool:
        """Say whether a pending or closing tenant's own data comes to it: an empty one must not."""
        return self.restore_id is not None or self.final_backup_id is not None

    def moved(self, to: TenantStatus, now: datetime, **changes: Any) -> "Tenant":
        """Return the tenant in its next status.

        Raises:
            BadTransition: the lifecycle has no such step.
        """
        # The directory may be told of this status and the next move come before that is written
        # down: what it held before proves nothing.
        changes = {"failed_by_pool": False, "routed_status": None, "held_up": None, **changes}
        if self.status is TenantStatus.CLOSING and to is not TenantStatus.CLOSED:
            changes = {**NO_CLOSING, **changes}
        return self._moved(to, now, _NEXT, changes)

    def anew(self, now: datetime, **changes: Any) -> "Tenant":
        """Return the next life of a tenant's id: pending, and nothing of the old one with it."""
        nothing = {
            **_NO_DATABASE,
            **NO_CLOSING,
            "reason": None,
            "operator": None,
            "operator_at": None,
            "final_backup_id": None,
            "restore_id": None,
            "returning": None,
        }
        episode = self.episode + 1
        return self.moved(TenantStatus.PENDING, now, episode=episode, **{**nothing, **changes})

    def without_database(self, now: datetime, **changes: Any) -> "Tenant":
        """Return the tenant waiting for another database than the one it had."""
        return self.moved(TenantStatus.PENDING, now, **{**_NO_DATABASE, **changes})
