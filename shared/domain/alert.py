"""An alert as every channel is given it, and what a channel is.

A channel knows nothing of findings or the outbox. It is told one alert at a time, maybe the same
one twice: the alert's id lets the other side tell repeats.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, Protocol, Self

from shared.domain.finding import Severity

__all__ = ["LABELS", "Alert", "Channel"]

LABELS: Final = {
    "severity": "Severity",
    "tenant_id": "Tenant",
    "database_name": "Database",
    "binding": "Binding",
    "repair": "Repair",
    "sightings": "Seen",
    "members": "Findings",
}
"""The facts that fit beside a summary, in this order, and what people call them."""


@dataclass(frozen=True)
class Alert:
    """Hold what is told: `facts` is all that is known of it, ready for JSON."""

    id: str
    kind: str
    severity: Severity
    resolved: bool
    fingerprint: str
    summary: str
    at: datetime
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Self:
        """Return the alert that a row of the outbox holds."""
        facts = {name: _plain(value) for name, value in detail.items() if value not in (None, "")}
        return cls(
            id=facts["id"],
            kind=facts["kind"],
            severity=Severity(facts["severity"]),
            resolved=facts.get("state") == "resolved",
            fingerprint=facts["fingerprint"],
            # Nobody takes an empty message, and a row that can't be sent would never end.
            summary=facts.get("summary", facts["kind"]),
            at=datetime.fromisoformat(facts["at"]),
            facts=facts,
        )

    @property
    def mark(self) -> str:
        """Return what every message begins with."""
        return "[RESOLVED]" if self.resolved else "[FIRING]"

    @property
    def title(self) -> str:
        """Return the alert in one line."""
        return f"{self.mark} {self.kind}: {self.summary}"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: DynamoDB gives decimals."""
    match value:
        case Decimal():
            return int(value) if value == int(value) else float(value)
        case Mapping():
            return {str(name): _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case _:
            return value


class Channel(Protocol):
    """Tell people of alerts in one way."""

    @property
    def name(self) -> str:
        """Return the channel's name, one word."""

    def send(self, alert: Alert) -> None:
        """Tell of one alert.

        Raises:
            Transient: it did not get through, and may later; it may have, if no answer came.
            Permanent: it never will; the reason says what a person can do.
        """
