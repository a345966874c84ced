"""Work: tenants that nothing moves any more, teardowns that do not end, pools, dead letters."""

from datetime import datetime, timedelta
from typing import ClassVar, Final

from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import RefillPool, Repair, WakeDatabase, WakeTenant
from shared.domain.finding import Severity
from shared.domain.tenant import Tenant, TenantStatus

__all__ = [
    "IDLE_AFTER",
    "LOST_AFTER",
    "DeadLetters",
    "PoolLow",
    "TeardownOverdue",
    "TenantStuck",
    "dead_letters",
    "deletion_overdue",
    "pool_low",
    "tenant_at_rest",
]

LOST_AFTER: Final = timedelta(minutes=5)
"""Who should have been woken so long ago was forgotten."""
IDLE_AFTER: Final = timedelta(minutes=1)
"""The same, where the queues are seen to be empty: SQS counts right after a minute."""
TEARDOWN_LASTS: Final = timedelta(hours=2)


class TenantStuck(Drift):
    """A tenant is on its way and nobody moves it: its message was lost."""

    kind: ClassVar = DriftKind.TENANT_STUCK

    status: TenantStatus
    since: datetime

    @property
    def subject(self) -> str:
        """Return the tenant."""
        return self.tenant_id or ""

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.tenant_id} is {self.status} and nothing moves it"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it."""
        return WakeTenant(self.subject)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"status": str(self.status), "since": self.since.isoformat()}


class TeardownOverdue(Drift):
    """A tenant or its database should be gone by now."""

    kind: ClassVar = DriftKind.TEARDOWN_OVERDUE

    since: datetime
    held_up: str | None = None
    ulid: str | None = None

    @property
    def subject(self) -> str:
        """Return the tenant, or the database that is nobody's."""
        return self.tenant_id or self.ulid or ""

    @property
    def summary(self) -> str:
        """Return one line for people."""
        why = f": {self.held_up}" if self.held_up else ""
        return f"{self.tenant_id or self.database_name} should have been gone by now{why}"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it: the teardown goes on where it stopped, with all its proofs."""
        if self.ulid is not None:
            return WakeDatabase(self.ulid)
        return WakeTenant(self.subject)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"since": self.since.isoformat(), "held_up": self.held_up}


class PoolLow(Drift):
    """The pool of a class lacks databases that nobody is making."""

    kind: ClassVar = DriftKind.POOL_LOW

    class_: str
    target: int
    ready: int
    making: int
    blocked: str | None = None

    @property
    def subject(self) -> str:
        """Return the class."""
        return self.class_

    @property
    def severity(self) -> Severity:
        """Say how bad it is: with an empty pool signups wait."""
        return Severity.ERROR if self.ready == 0 else Severity.WARNING

    @property
    def summary(self) -> str:
        """Return one line for people."""
        why = f": {self.blocked}" if self.blocked else ""
        return f"the pool of {self.class_} has {self.ready} of {self.target} databases{why}"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it."""
        return RefillPool(self.class_)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"target": self.target, "ready": self.ready, "making": self.making}


class DeadLetters(Drift):
    """Messages lie in a dead letter queue: a bug, or something that nobody thought of."""

    kind: ClassVar = DriftKind.DLQ_NOT_EMPTY

    queue: str
    depth: int

    @property
    def subject(self) -> str:
        """Return the queue."""
        return self.queue

    @property
    def severity(self) -> Severity:
        """Say how bad it is."""
        return Severity.ERROR

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.depth} messages lie in the dead letters of {self.queue}"

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"depth": self.depth}


def tenant_at_rest(
    tenant: Tenant, *, idle: bool, now: datetime
) -> TenantStuck | TeardownOverdue | None:
    """Say whether a tenant that is on its way was forgotten, or leaves for too long.

    `idle` says that no message waits in any queue: then nobody is on the way to it either.
    """
    about = {
        "tenant_id": tenant.tenant_id,
        "database_id": tenant.database_id,
        "database_name": tenant.database_name,
        "binding": tenant.binding,
    }
    if tenant.settled:
        return None
    if tenant.status is TenantStatus.CLOSING:
        due = tenant.grace_ends_at
        if due is not None and now - due > TEARDOWN_LASTS:
            return TeardownOverdue(**about, since=due, held_up=tenant.held_up)
        return None
    if tenant.held_up is not None:
        return None  # it waits for a person, who was told so
    due = tenant.wake_at or tenant.updated_at
    if now - due > (IDLE_AFTER if idle else LOST_AFTER):
        return TenantStuck(**about, status=tenant.status, since=due)
    return None


def deletion_overdue(database: Database, now: datetime) -> TeardownOverdue | None:
    """Say whether a database that nobody waits for is being deleted for too long."""
    if database.status is not DatabaseStatus.DELETING:
        return None
    if now - database.status_since <= TEARDOWN_LASTS:
        return None
    return TeardownOverdue(
        tenant_id=database.owner,
        database_id=database.database_id,
        database_name=database.name,
        binding=database.binding,
        since=database.status_since,
        held_up=database.reason,
        ulid=database.ulid,
    )


def pool_low(
    class_: str, *, target: int, ready: int, making: int, claimed: int, blocked: str | None
) -> PoolLow | None:
    """Say whether a pool lacks databases that are not on their way.

    `making` are those that are made for it, `claimed` those that were taken from it just now:
    whoever makes others in their place may still be on the way.
    """
    if ready >= target or (ready + making + claimed >= target and blocked is None):
        return None
    return PoolLow(class_=class_, target=target, ready=ready, making=making, blocked=blocked)


def dead_letters(depths: dict[str, int]) -> list[DeadLetters]:
    """Say which dead letter queues hold messages."""
    return [DeadLetters(queue=name, depth=depth) for name, depth in depths.items() if depth > 0]
