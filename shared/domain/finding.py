"""The life of a finding: something that is not as it should be, from its first sighting to its end.

Whoever looks at the fleet says what it saw (`Sighting`); what is kept of it is a `Finding`. These
functions say how the one changes the other, and whether people have to hear of it (`News`):

    ─▶ OPEN ──ack──▶ ACKED          told: opened, worse, every four hours, resolved
         └──────┬──────┘            an acked one is not reminded of, but told if it gets worse
                ▼
            RESOLVED ──seen again──▶ OPEN (a new opening)

Ten or more of one kind at once are a storm: they are told of by one finding that stands for all of
them (`members`), and each says which (`storm`).
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Self

from pydantic import BaseModel, ConfigDict

from shared.domain.lifecycle import Instant

__all__ = [
    "REMIND_AFTER",
    "STORM",
    "STORM_WITHIN",
    "Evidence",
    "Finding",
    "FindingState",
    "News",
    "Severity",
    "Sighting",
    "Step",
    "fingerprint",
    "remind",
    "resolve",
    "see",
    "storm_name",
    "storm_of",
]

REMIND_AFTER: Final = timedelta(hours=4)
STORM: Final = 10
STORM_WITHIN: Final = timedelta(minutes=5)
NAMED: Final = 5
"""So many of a storm are named in its summary."""

_ALL: Final = "(storm)"
"""The subject of what stands for all of a kind."""

Evidence = Mapping[str, str | int | None]


class Severity(StrEnum):
    """Say how much harm a finding does; `rank` orders them."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return 0 for the mildest, and more for what is worse."""
        return list(Severity).index(self)


class FindingState(StrEnum):
    """Say where a finding is in its life."""

    OPEN = "open"
    ACKED = "acked"
    RESOLVED = "resolved"


class News(StrEnum):
    """Say why people hear of a finding."""

    OPENED = "opened"
    WORSE = "worse"
    REMINDER = "reminder"
    RESOLVED = "resolved"


def fingerprint(kind: str, subject: str) -> str:
    """Return the name of a finding: of kind and subject, never of the text, which may change."""
    return hashlib.sha256(f"{kind}\n{subject}".encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Sighting:
    """Hold what somebody saw just now; `subject` identifies it within its kind, never the text.

    `repair` is one word for what would mend it, or what was done.
    """

    kind: str
    subject: str
    severity: Severity
    summary: str
    tenant_id: str | None = None
    database_id: str | None = None
    database_name: str | None = None
    binding: str | None = None
    repair: str = ""
    evidence: Evidence = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Return the name of the finding that this is a sighting of."""
        return fingerprint(self.kind, self.subject)


class Finding(BaseModel):
    """Hold what is kept of a finding, and whether it was told.

    `sightings` counts the real passes that saw it since `first_seen`, its last opening; `worst` is
    the highest severity of this opening. `told`: this opening was told of in a message of its own,
    so that its end has to be too. `members` is above 0 for what stands for a storm.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fingerprint: str
    kind: str
    subject: str
    severity: Severity
    worst: Severity
    summary: str
    tenant_id: str | None = None
    database_id: str | None = None
    database_name: str | None = None
    binding: str | None = None
    repair: str = ""
    evidence: dict[str, str | int | None] = {}
    state: FindingState = FindingState.OPEN
    first_seen: Instant
    last_seen: Instant
    sightings: int = 1
    last_notified: Instant | None = None
    told: bool = False
    storm: str | None = None
    members: int = 0
    acked_at: Instant | None = None
    resolved_at: Instant | None = None
    resolved_why: str | None = None
    version: int = 1

    @property
    def standing(self) -> bool:
        """Say whether it has not ended."""
        return self.state is not FindingState.RESOLVED

    @property
    def remind_at(self) -> datetime | None:
        """Return when people are to be reminded of it by itself, if they are."""
        if self.state is not FindingState.OPEN or self.storm is not None:
            return None
        return None if self.last_notified is None else self.last_notified + REMIND_AFTER

    @property
    def reminded(self) -> bool:
        """Say whether people heard of this opening more than once."""
        return self.last_notified is not None and self.last_notified > self.first_seen

    def changed(self, **changes: object) -> Self:
        """Return its next version."""
        data = dict(self) | {"version": self.version + 1} | changes
        return type(self).model_validate(data)

    def notified(self, now: datetime) -> Self:
        """Return it as it is once a message of its own is written down."""
        return self.model_copy(update={"told": True, "last_notified": now})

    def joined(self, storm: str, now: datetime) -> Self:
        """Return it as it is once a storm's summary tells of it."""
        return self.model_copy(update={"storm": storm, "last_notified": now})

    def acked(self, now: datetime) -> Self:
        """Return it as it is once somebody said that they care for it."""
        if self.state is not FindingState.OPEN:
            return self
        return self.changed(state=FindingState.ACKED, acked_at=now)


@dataclass(frozen=True)
class Step:
    """Hold a finding as it now stands, and what people have to hear of that, if anything."""

    finding: Finding
    news: News | None = None


def see(finding: Finding | None, sighting: Sighting, now: datetime) -> Step:
    """Return what a sighting makes of a finding: None if it was never seen before."""
    seen = {
        "severity": sighting.severity,
        "summary": sighting.summary,
        "tenant_id": sighting.tenant_id,
        "database_id": sighting.database_id,
        "database_name": sighting.database_name,
        "binding": sighting.binding,
        "repair": sighting.repair,
        "evidence": dict(sighting.evidence),
        "last_seen": now,
    }
    if finding is None or not finding.standing:
        opened = Finding.model_validate(
            seen
            | {
                "fingerprint": sighting.fingerprint,
                "kind": sighting.kind,
                "subject": sighting.subject,
                "worst": sighting.severity,
                "first_seen": now,
                "version": 1 if finding is None else finding.version + 1,
            }
        )
        return Step(opened, News.OPENED)
    worse = sighting.severity.rank > finding.worst.rank
    after = finding.changed(
        **seen,
        sightings=finding.sightings + 1,
        worst=sighting.severity if worse else finding.worst,
    )
    return Step(after, News.WORSE if worse else _due(after, now))


def remind(finding: Finding, now: datetime) -> Step:
    """Return what the mere passing of time makes of a finding that nobody looked at again."""
    news = _due(finding, now)
    return Step(finding, None) if news is None else Step(finding.changed(), news)


def _due(finding: Finding, now: datetime) -> News | None:
    at = finding.remind_at
    return News.REMINDER if at is not None and at <= now else None


def resolve(finding: Finding, now: datetime, why: str) -> Step:
    """Return the end of a finding; it is told if its beginning was."""
    if not finding.standing:
        return Step(finding)
    after = finding.changed(state=FindingState.RESOLVED, resolved_at=now, resolved_why=why)
    return Step(after, News.RESOLVED if finding.told else None)


def storm_name(kind: str) -> str:
    """Return the fingerprint of the finding that stands for all of a kind."""
    return fingerprint(kind, _ALL)


def storm_of(kind: str, members: Collection[Finding]) -> Sighting:
    """Return the sighting of the storm that findings of a kind are."""
    worst = max((member.severity for member in members), key=lambda severity: severity.rank)
    some = sorted(member.summary for member in members)[:NAMED]
    more = "" if len(members) <= NAMED else f"; and {len(members) - NAMED} more"
    return Sighting(
        kind=kind,
        subject=_ALL,
        severity=worst,
        summary=f"{len(members)} findings of one kind: {'; '.join(some)}{more}",
        evidence={"members": len(members)},
    )
