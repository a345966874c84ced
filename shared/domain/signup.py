"""What an auth provider's event does to a tenant, whatever order the events come in.

Providers promise no order, so the provider's own times decide: a `created` that is not newer than
the deletion it follows changes nothing, a `deleted` that comes first leaves a tombstone. Therefore
the newest times are kept even when an event changes nothing else: `known_at` of what says that the
tenant is there, `removed_at` of what says that it is gone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from shared.domain.auth_events import AuthEvent
from shared.domain.standing import FREE, Entitlement, settle
from shared.domain.tenant import Tenant, TenantStatus

__all__ = ["Admission", "Begin", "Ignore", "Keep", "Move", "Terms", "decide_signup"]

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


@dataclass(frozen=True)
class Terms:
    """Say what holds for tenants of this deployment at this moment.

    `rights` gives what a tenant's subscriptions entitle it to in an episode; `grace` counts from
    `now`, the receipt; `closing_id` names the closing that may begin.
    """

    now: datetime
    grace: timedelta
    rights: Callable[[int], Entitlement] = lambda _episode: FREE
    require_subscription: bool = False
    closing_id: str | None = None

    def settled(self, tenant: Tenant) -> Tenant:
        """Return the tenant as all words together want it."""
        return settle(
            tenant,
            self.rights(tenant.episode),
            now=self.now,
            grace=self.grace,
            require_subscription=self.require_subscription,
            closing_id=self.closing_id,
        )


def decide_signup(
    tenant: Tenant | None, event: AuthEvent, *, class_: str, terms: Terms
) -> Admission:
    """Say what an event does to its tenant."""
    if event.mode == "test":
        return Ignore("an event of the provider's test mode")
    if event.verb == "tenant.removed":
        return _removed(tenant, event, class_, terms)
    return _requested(tenant, event, class_, terms)


def _requested(tenant: Tenant | None, event: AuthEvent, class_: str, terms: Terms) -> Admission:
    if tenant is None:
        # An update of a tenant nobody knows counts too: its creation may have been lost.
        return _begun(_new(event, class_, terms.now, _S.PENDING), "signed up", terms)
    if tenant.status not in _GONE:
        return _renamed(tenant, event, terms.now)
    if not _newer(event.occurred_at, tenant.removed_at or tenant.known_at):
        what = "the deletion" if tenant.removed_at else "what is known"
        return Ignore(f"not newer than {what} of this tenant")
    if event.verb != "tenant.requested":
        return Ignore("an update does not bring back a tenant that was deleted")
    if tenant.status is _S.CLOSING and tenant.removed_at is None:
        # It leaves by another word than the auth provider's: that word stands.
        return _renamed(tenant, event, terms.now)
    known = {"known_at": event.occurred_at, "removed_at": None}
    if tenant.status is _S.CLOSING and (tenant.database_ulid or tenant.wants_restore):
        name = event.display_name or tenant.display_name
        back = tenant.noted(terms.now, display_name=name, **known)
        return Move(terms.settled(back), "resumed by a new signup")
    again = tenant.anew(
        terms.now,
        class_=class_,
        provider=event.provider,
        display_name=event.display_name,
        **known,
    )
    return _begun(again, "signed up anew", terms)


def _begun(pending: Tenant, what: str, terms: Terms) -> Admission:
    """Let a tenant begin, unless its subscriptions, known before it, say otherwise."""
    tenant = terms.settled(pending)
    return Begin(tenant, what) if tenant.status is _S.PENDING else Move(tenant, what)


def _renamed(tenant: Tenant, event: AuthEvent, now: datetime) -> Admission:
    if not _newer(event.occurred_at, tenant.known_at):
        return Keep()
    name = event.display_name or tenant.display_name
    if name == tenant.display_name and event.occurred_at is None:
        return Keep()
    what = "seen again" if name == tenant.display_name else "renamed"
    known_at = event.occurred_at
    return Move(tenant.noted(now, display_name=name, known_at=known_at), what)


def _removed(tenant: Tenant | None, event: AuthEvent, class_: str, terms: Terms) -> Admission:
    now = terms.now
    gone_at = event.occurred_at or now
    if tenant is None:
        tombstone = _new(
            event,
            class_,
            now,
            _S.CLOSED,
            removed_at=gone_at,
            routed_status=_S.CLOSED,  # the directory never heard of it
            reason="deleted at the auth provider before it was created here",
        )
        return Move(tombstone, "deleted before it was created")
    if event.occurred_at is not None and _newer(tenant.known_at, event.occurred_at):
        return Ignore("the tenant was created after this deletion")
    if tenant.removed_at is not None and not (
        event.occurred_at is not None and event.occurred_at > tenant.removed_at
    ):
        return Keep()
    gone = tenant.noted(now, removed_at=gone_at)
    after = terms.settled(gone)
    closes = after.status is _S.CLOSING and tenant.status is not _S.CLOSING
    return Move(after, "closing" if closes else "deleted again")


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
