"""What the webhook doors need from the rest: who accepts events, and who knows the secrets."""

from dataclasses import dataclass
from typing import Literal, Protocol

from shared.domain.auth_events import AuthEvent
from shared.domain.billing_events import BillingEvent

__all__ = ["AcceptBillings", "AcceptSignups", "Accepted", "KeepAside", "Secrets"]


@dataclass(frozen=True, slots=True)
class Accepted:
    """Say what became of an event, and how its tenant stands now; `reason` may be told."""

    status: Literal["accepted", "duplicate", "ignored", "parked"]
    tenant_status: str | None = None
    reason: str | None = None


class KeepAside(Protocol):
    """Keep well-signed events that could not be understood."""

    def dead_letter(
        self,
        *,
        provider: str,
        mode: str,
        event_id: str | None,
        reason: str,
        body: bytes,
        trace: str,
    ) -> None:
        """Keep a body, and alert.

        Raises:
            Transient: storage does not answer; the sender should come back.
        """
        ...


class AcceptSignups(KeepAside, Protocol):
    """Take well-signed events of auth providers."""

    def signup(self, event: AuthEvent, *, body_sha256: str, trace: str) -> Accepted:
        """Store the event and its effect at once; `body_sha256` is hex and tells a resend apart.

        Raises:
            Transient: storage does not answer: nothing may be acknowledged, the sender should
                come back.
        """
        ...


class AcceptBillings(KeepAside, Protocol):
    """Take well-signed events of billing providers."""

    def billing(self, event: BillingEvent, *, body_sha256: str, trace: str) -> Accepted:
        """Store the event and its effect at once; `body_sha256` is hex and tells a resend apart.

        Raises:
            Transient: storage does not answer: nothing may be acknowledged, the sender should
                come back.
        """
        ...


class Secrets(Protocol):
    """Know the secrets of this deployment by their short names, e.g. `auth/clerk`.

    Raises:
        Transient: the store of secrets does not answer.
        Permanent: the stored value has a shape that no secret has, or may not be read.
    """

    def get(self, name: str) -> tuple[str, ...]:
        """Return the secrets in their order, none if there is no such one; may be minutes old."""
        ...

    def refreshed(self, name: str) -> tuple[str, ...] | None:
        """Return the secrets read anew, or None if they did not change or were read just now."""
        ...
