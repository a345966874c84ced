"""What was seen to be wrong, as whoever looks hands it on to be kept and told of."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["FindingState", "Severity", "Sighting"]


class Severity(StrEnum):
    """Say how bad something is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return a number that grows with how bad it is."""
        return _RANKS[self]


_RANKS: Final = {severity: rank for rank, severity in enumerate(Severity)}


class FindingState(StrEnum):
    """Name what a finding is."""

    OPEN = "open"
    ACKED = "acked"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Sighting:
    """What somebody saw just now; `subject` identifies it within its kind, never the text."""

    kind: str
    subject: str
    severity: Severity
    summary: str
    tenant_id: str | None = None
    database_id: str | None = None
    database_name: str | None = None
    binding: str | None = None
    repair: str = ""
    evidence: Mapping[str, str | int | None] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return what tells it from all others, whoever sees it."""
        return hashlib.sha256(f"{self.kind}\n{self.subject}".encode()).hexdigest()[:32]
