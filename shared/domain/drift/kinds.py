"""Each kind of drift: what was seen, how bad it is, and what would mend it.

The base says what scripts and alerts get of any of them. A kind's `subject` tells one finding from
another; the text of its summary may change from night to night.
"""

from abc import ABC, abstractmethod
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import Repair
from shared.domain.finding import Evidence, Severity, Sighting

__all__ = ["Drift", "Evidence"]


class Drift(BaseModel, ABC):
    """Hold what every kind of drift has.

    `certain` says that more than one witness was heard, so that the repair can't make it worse and
    need not wait for a second pass.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[DriftKind]

    tenant_id: str | None = None
    database_id: str | None = None
    database_name: str | None = None
    binding: str | None = None
    certain: bool = False

    @property
    @abstractmethod
    def subject(self) -> str:
        """Return what it is about, unlike any other of its kind."""

    @property
    def severity(self) -> Severity:
        """Say how bad it is."""
        return Severity.WARNING

    @property
    @abstractmethod
    def summary(self) -> str:
        """Return one line for people."""

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it without a person, or None."""
        return None

    @property
    def evidence(self) -> Evidence:
        """Return what was seen, for whoever looks closer."""
        return {}

    def sighting(self) -> Sighting:
        """Return it as findings are kept."""
        repair = self.repair
        return Sighting(
            kind=str(self.kind),
            subject=self.subject,
            severity=self.severity,
            summary=self.summary,
            tenant_id=self.tenant_id,
            database_id=self.database_id,
            database_name=self.database_name,
            binding=self.binding,
            repair="" if repair is None else repair.word,
            evidence={name: value for name, value in self.evidence.items() if value is not None},
        )
