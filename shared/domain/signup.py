"""What an auth provider's event does to a tenant, whatever order the events come in.

Providers promise no order, so the provider's own times decide: a `created` that is not newer than
the deletion it follows changes nothing, a `deleted` that comes first leaves a tombstone. Therefore
the newest times are kept even when an event changes nothing else: `known_at` of what says that the
tenant is there, `removed_at` of what says that it is gone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from shared.domain.auth_events import AuthEvent
from shared.domain.tenant import Tenant, TenantStatus

__all__ = ["Admission", "Begin", "Ignore", "Keep", "Move", "decide_signup"]

_S = TenantStatus
_GONE = frozenset({_S.CLOSING, _S.CLOSED})


@dataclass(frozen=True)
class Begin:
    """A tenant begins, or begins again: it is pending and wants a database."""

    tenant: Tenant
    what: str


@dataclass(frozen=True)
class Move:
    """A tenant that is there becomes something else."""

    tenant: Tenant
    what: str


@dataclass(frozen=True)
class Keep:
    """The event says what is so already."""


@dataclass(frozen=True)
class Ignore:
    """The event is out of date, or not for this deployment; `why` is for the log."""

    why: str


Admission: TypeAlias = Begin | Move | Keep | Ignore


def decide_signup(
    tenant: Tenant | None,
    event: AuthEvent,
    *,
    class_: str,
    grace: timedelta,
    now: datetime,
) -> Admission:
    """Say what an event does to its tenant. `grace` counts from `now`, the receipt."""
    if event.mode == "test":
        return Ignore("an event of the provider's test mode")
    if event.verb == "tenant.removed":
        return _removed(tenant, event, class_=class_, grace=grace, now=now)
    return _requested(tenant, event, class_=class_, now=now)


def _requested(tenant: Tenant | None, event: AuthEvent, *, class_: str, now: datetime) -> Admission:
    if tenant is None:
        # An update of a tenant nobody knows counts too: its creation may have been lost.
        return Begin(_new(event, class_, now, _S.PENDING), "signed up")
    if tenant.status not in _GONE:
        return _renamed(tenant, event, now)
    if not _newer(event.occurred_at, tenant.removed_at):
        return Ignore("not newer than the deletion of this tenant")
    if event.verb != "tenant.requested":
        return Ignore("an update does not bring back a tenant that was deleted")
    known = {"known_at": event.occurred_at, "removed_at": None, "grace_ends_at": None}
    if tenant.status is _S.CLOSING and tenant.database_ulid is not None:
        name = event.display_name or tenant.display_name
        resumed = tenant.moved(_S.ACTIVATING, now, reason=None, display_name=name, **known)
        return Move(resumed, "resumed by a new signup")
    fresh = {
        "reason": None,
        "class_": class_,
        "provider": event.provider,
        "display_name": event.display_name,
        "database_ulid": None,
        "database_id": None,
        "database_name": None,
        "binding": None,
        "shard": None,
        "schema_version": "",
        "routed_status": None,
    }
    again = tenant.moved(_S.PENDING, now, episode=tenant.episode + 1, **fresh, **known)
    return Begin(again, "signed up anew")


def _renamed(tenant: Tenant, event: AuthEvent, now: datetime) -> Admission:
    if not _newer(event.occurred_at, tenant.known_at):
        return Keep()
    name = event.display_name or tenant.display_name
    if name == tenant.display_name and event.occurred_at is None:
        return Keep()
    what = "seen again" if name == tenant.display_name else "renamed"
    known_at = event.occurred_at
    return Move(_undisturbed(tenant, now, display_name=name, known_at=known_at), what)


def _undisturbed(tenant: Tenant, now: datetime, **changes: object) -> Tenant:
    """Return the tenant with news that are no progress: its live chain of messages goes on."""
    chain = {name: getattr(tenant, name) for name in ("attempts", "failures", "token", "wake_at")}
    return tenant.changed(now, **chain, **changes)


def _removed(
    tenant: Tenant | None, event: AuthEvent, *, class_: str, grace: timedelta, now: datetime
) -> Admission:
    gone_at = event.occurred_at or now
    if tenant is None:
        tombstone = _new(
            event,
            class_,
            now,
            _S.CLOSED,
            removed_at=gone_at,
            reason="deleted at the auth provider before it was created here",
        )
        return Move(tombstone, "deleted before it was created")
    if tenant.status in _GONE:
        if event.occurred_at is None or not _newer(event.occurred_at, tenant.removed_at):
            return Keep()
        return Move(_undisturbed(tenant, now, removed_at=event.occurred_at), "deleted again")
    if event.occurred_at is not None and _newer(tenant.known_at, event.occurred_at):
        return Ignore("the tenant was created after this deletion")
    after = tenant.moved(
        _S.CLOSING,
        now,
        reason="deleted at the auth provider",
        removed_at=gone_at,
        grace_ends_at=now + grace,
    )
    return Move(after, "closing")


def _new(
    event: AuthEvent, class_: str, now: datetime, status: TenantStatus, **more: object
) -> Tenant:
    return Tenant.model_validate(
        {
            "tenant_id": event.tenant_id,
            "status": status,
            "class_": class_,
            "provider": event.provider,
            "display_name": event.display_name,
            "known_at": event.occurred_at,
            "created_at": now,
            "updated_at": now,
            "status_since": now,
            **more,
        }
    )


def _newer(time: datetime | None, than: datetime | None) -> bool:
    """Say whether a provider's time is surely later than another; unknown times are not."""
    if than is None:
        return True
    return time is not None and time > than
