"""Every few minutes: find what was lost, what is overdue and what somebody else overwrote.

The sweep mends nothing itself. It sends the messages that the workers act on, marks a pool Worker
whose running bindings are not the published ones, so that it is published anew, and lets tenants
that failed for want of databases wait for one again.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Final

from shared.aws.items import Change
from shared.domain.backup import BackupStatus, RestoreStatus
from shared.domain.channel_turns import Turns
from shared.domain.database import UNSETTLED_DATABASE, DatabaseStatus
from shared.domain.drift.policy import DriftKind, Repairing
from shared.domain.finding import Sighting
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker_watch import Trouble
from shared.errors import Conflict, ControlPlaneError, Transient
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings
from shared.usecases.free_slot import ghosts
from shared.usecases.let_go import unwanted
from shared.usecases.look_after_workers import LookAfterWorkers
from shared.usecases.outside import Outside
from shared.usecases.review_billing import ReviewBilling
from shared.usecases.revive_tenant import revived
from shared.usecases.tell import Tell

__all__ = ["OVERDUE", "Sweep", "SweepReport"]

OVERDUE: Final = timedelta(minutes=5)
AT_ONCE: Final = 500
OUTBOX_AT_ONCE: Final = 1000
OUTBOX_FAILURES: Final = 3

_UNSETTLED_TENANT: Final = (
    TenantStatus.PENDING,
    TenantStatus.ACTIVATING,
    TenantStatus.SUSPENDED,
    TenantStatus.CLOSING,
    TenantStatus.CLOSED,
    TenantStatus.FAILED,
)

log = logging.getLogger("d1fleet")


@dataclass
class SweepReport:
    """Count what a sweep found.

    Open findings of the kinds in `resolvable` that are not among the `sightings` are over.
    """

    tenants: int = 0
    databases: int = 0
    long_work: int = 0
    behind: int = 0
    gone: int = 0
    retried: int = 0
    billing: dict[str, int] = field(default_factory=dict)
    outbox: int = 0
    alerts: int = 0
    alerts_held: int = 0
    channels_failing: dict[str, str] = field(default_factory=dict)
    overwritten: list[str] = field(default_factory=list)
    unanswered: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    sightings: list[Sighting] = field(default_factory=list)
    resolvable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Sweep:
    """Sweep the fleet; `turns` are those that channels of alerts have in this invocation."""

    control: Control
    outside: Outside
    turns: Turns = field(default_factory=Turns)

    def __call__(self, trace: str) -> SweepReport:
        """Look through everything that could have been lost, and wake it."""
        report = SweepReport()
        now = self.control.now()
        # What helps most people comes first; no part keeps the next from its turn.
        parts: dict[str, Callable[[], None]] = {
            "pools": lambda: self.control.enqueue(
                "pool", *self.control.settings.database_classes, trace=trace
            ),
            "tenants": lambda: setattr(report, "tenants", self._overdue_tenants(now, trace)),
            "databases": lambda: setattr(report, "databases", self._overdue_databases(now, trace)),
            "long work": lambda: setattr(report, "long_work", self._overdue_long_work(now, trace)),
            "billing": lambda: report.billing.update(asdict(ReviewBilling(self.control)(trace))),
            "retried": lambda: setattr(report, "retried", self._retry_failed_by_pool(trace)),
            "behind": lambda: setattr(report, "behind", self._databases_behind(trace)),
            "gone": lambda: setattr(report, "gone", self._databases_gone(trace)),
            "workers": lambda: self._workers(trace, report),
            "outbox": lambda: setattr(report, "outbox", self._outbox()),
            "alerts": lambda: self._alerts(trace, report),
        }
        for name, part in parts.items():
            try:
                part()
            except ControlPlaneError:
                log.exception("the sweep could not finish a part", extra={"part": name})
                report.unfinished.append(name)
        return report

    def _overdue_tenants(self, now: datetime, trace: str) -> int:
        count = 0
        for status in _UNSETTLED_TENANT:
            found = [
                tenant.tenant_id
                for tenant in islice(self._unsettled(status, now - OVERDUE), AT_ONCE)
            ]
            self.control.enqueue("tenant", *found, trace=trace)
            count += len(found)
        return count

    def _unsettled(self, status: TenantStatus, due_before: datetime) -> Iterator[Tenant]:
        """Yield tenants of a status that want attention; settled ones share its partition."""
        for tenant in self.control.state.tenants(status, due_before=due_before):
            if not tenant.settled:
                yield tenant

    def _overdue_databases(self, now: datetime, trace: str) -> int:
        count = 0
        for class_ in self.control.settings.database_classes:
            for status in sorted(UNSETTLED_DATABASE):
                found = [
                    database.ulid
                    for database in self.control.state.databases(
                        class_, status, due_before=now - OVERDUE, limit=AT_ONCE
                    )
                ]
                self.control.enqueue("database", *found, trace=trace)
                count += len(found)
        return count

    def _overdue_long_work(self, now: datetime, trace: str) -> int:
        """Wake backups and restores whose message was lost."""
        state, late = self.control.state, now - OVERDUE
        backups = [
            backup.backup_id
            for backup in state.backups(BackupStatus.WANTED, due_before=late, limit=AT_ONCE)
        ]
        self.control.enqueue("backup", *backups, trace=trace)
        restores = [
            restore.restore_id
            for status in (RestoreStatus.WANTED, RestoreStatus.IMPORTING, RestoreStatus.PROVEN)
            for restore in state.restores(status, due_before=late, limit=AT_ONCE)
        ]
        self.control.enqueue("restore", *restores, trace=trace)
        return len(backups) + len(restores)

    def _databases_behind(self, trace: str) -> int:
        """Wake databases of the pool that a push of migrations left behind."""
        head = self.outside.head()
        count = 0
        for class_ in self._open_classes():
            behind = [
                database.ulid
                for database in self.control.state.databases(class_, DatabaseStatus.READY)
                if database.schema_version != head
            ][:AT_ONCE]
            self.control.enqueue("database", *behind, trace=trace)
            count += len(behind)
        return count

    def _databases_gone(self, trace: str) -> int:
        """Wake databases that are gone, and unbound by now, and copies that nobody waits for."""
        count = 0
        for class_ in self.control.settings.database_classes:
            found = chain(ghosts(self.control, class_), unwanted(self.control, class_))
            gone = list(islice(found, AT_ONCE))
            self.control.enqueue("database", *gone, trace=trace)
            count += len(gone)
        return count

    def _retry_failed_by_pool(self, trace: str) -> int:
        """Set tenants going again that failed for want of databases, once those can be made."""
        open_classes = self._open_classes()
        failed = self.control.state.tenants(TenantStatus.FAILED)
        hints = (hint for hint in failed if hint.failed_by_pool and hint.class_ in open_classes)
        count = 0
        for hint in islice(hints, AT_ONCE):
            tenant = self.control.state.tenant(hint.tenant_id)
            if tenant is None or not tenant.failed_by_pool:
                continue
            after = revived(self.control, tenant)
            line = self.control.line("retried", why="databases can be made again", trace=trace)
            try:
                self.control.state.commit(Change(tenant, after, line))
            except Conflict:
                continue
            self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
            count += 1
        return count

    def _open_classes(self) -> list[str]:
        pools = self.control.pools
        return [c for c in self.control.settings.database_classes if pools.blocked(c) is None]

    def _outbox(self) -> int:
        """Send the events that wait; if that fails again and again, the next sweep does."""
        sent = failures = 0
        waiting = (row for row in self.control.outbox.waiting() if row["kind"] == "event")
        for row in list(islice(waiting, OUTBOX_AT_ONCE)):
            try:
                self.control.outbox.deliver(row)
                sent += 1
            except Transient as error:
                failures += 1
                log.warning("left in the outbox: %s", error)
                if failures >= OUTBOX_FAILURES:
                    break
        return sent

    def _alerts(self, trace: str, report: SweepReport) -> None:
        told = Tell(self.control, self.outside.channels(), self.turns)(trace)
        report.alerts, report.alerts_held = told.sent, told.held
        report.channels_failing = told.failing

    def _workers(self, trace: str, report: SweepReport) -> None:
        findings = KeepFindings(self.control).standing([str(trouble) for trouble in Trouble])
        known = {finding.subject for finding in findings}
        policy = self.control.settings.policy
        look = LookAfterWorkers(
            self.control,
            self.outside,
            lambda trouble: policy[DriftKind(trouble)] is Repairing.AUTO,
        )
        seen = look(trace)
        report.overwritten += seen.marked
        report.unanswered += seen.unanswered
        report.sightings += [
            sighting
            for sighting in seen.sightings
            if policy[DriftKind(sighting.kind)] is not Repairing.OFF
        ]
        report.resolvable += [str(kind) for kind in seen.resolvable(known)]
