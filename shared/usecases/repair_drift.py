"""Do what a drift's repair says, on the condition that things are still as they were seen.

Most repairs mark a record and wake who does the work. None deletes. Each leaves a line in the
history, in the transaction that repairs; who is killed before the wake-up is found by the sweep.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from shared.aws.items import Change, line_put, slot_put
from shared.aws.table import Condition, Write
from shared.domain.drift.kinds import Drift
from shared.domain.drift.repairs import (
    DropBinding,
    FailTenant,
    GiveSlot,
    HandBack,
    MigratePooled,
    Readopt,
    RefillPool,
    Repair,
    RepublishRoute,
    RepublishShard,
    SetAside,
    ShutRoute,
    WakeDatabase,
    WakeTenant,
)
from shared.domain.drift.routes import giving_way
from shared.domain.names import binding_name
from shared.domain.tenant import MISROUTED
from shared.domain.worker import Slot, Worker
from shared.errors import Conflict
from shared.router.models import DirectoryRow
from shared.usecases.context import enqueue_quietly
from shared.usecases.looking import Looking
from shared.usecases.repair_databases import RepairDatabases

__all__ = ["RepairDrift"]

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class RepairDrift:
    """Repair what drifted.

    `published` are the shards that the pass has had published anew: that mends whatever its record
    says, so that what was seen before is no reason to do it twice, or to call it not done.
    """

    looking: Looking
    trace: str
    published: set[str] = field(default_factory=set)

    def __call__(self, drift: Drift, repair: Repair) -> bool:
        """Do one repair; False says that things have changed since they were seen.

        Raises:
            NoPermit: the budget says wait.
            Transient: the table, the queue or the router does not answer.
        """
        try:
            return self._do(drift, repair)
        except Conflict as conflict:
            log.info("%s was not repaired, it changed: %s", drift.subject, conflict.condition)
            return False

    def tell(self, drift: Drift) -> None:
        """Leave the line of a drift whose repair was done for another one already.

        Raises:
            Transient: the table does not answer.
        """
        lines = self._line_of_tenant(drift)
        if lines:
            self.looking.control.state.commit(also=lines)

    def _do(self, drift: Drift, repair: Repair) -> bool:
        databases = RepairDatabases(self.looking, self.trace)
        match repair:
            case RepublishShard(script=script, version=version):
                return self._republish(drift, script, version)
            case DropBinding(script=script, ulid=ulid):
                return self._drop(drift, script, ulid)
            case GiveSlot(script=script, ulid=ulid):
                return self._give_slot(drift, script, ulid)
            case RepublishRoute():
                return self._route(drift, repair)
            case ShutRoute(tenant_id=tenant_id, above=above):
                return self._shut(tenant_id, above)
            case Readopt() | HandBack() | SetAside() | FailTenant() | MigratePooled():
                return databases(drift, repair)
            case WakeTenant(tenant_id=tenant_id):
                self._wake_tenant(drift, tenant_id)
            case WakeDatabase(ulid=ulid):
                self.looking.control.enqueue("database", ulid, trace=self.trace)
            case RefillPool(class_=class_):
                self.looking.control.enqueue("pool", class_, trace=self.trace)
            case _:
                assert_never(repair)
        return True

    # Bindings

    def _republish(self, drift: Drift, script: str, version: int) -> bool:
        if script in self.published:
            self.tell(drift)
            return True
        worker = self.looking.control.state.worker(script)
        if worker is None or worker.version != version:
            return False
        self._mark(worker, drift, ())
        return True

    def _drop(self, drift: Drift, script: str, ulid: str) -> bool:
        """Give the unwanted binding a slot that leaves: the next publish leaves it out.

        Its generation says that a publish contained it, so that it is gone only once it is seen so.
        """
        worker = self.looking.control.state.worker(script)
        if worker is None:
            return False
        slot = Slot(ulid=ulid, binding=binding_name(ulid), generation=1, leaving=True)
        self._mark(worker, drift, (_new_slot(script, slot),))
        return True

    def _give_slot(self, drift: Drift, script: str, ulid: str) -> bool:
        state = self.looking.control.state
        worker, database = state.worker(script), state.database(ulid)
        if worker is None or database is None or database.shard != script:
            return False
        slot = Slot(
            ulid=ulid,
            binding=database.binding,
            database_id=database.database_id,
            made_at=self.looking.control.now(),
        )
        self._mark(worker, drift, (_new_slot(script, slot),))
        return True

    def _mark(self, worker: Worker, drift: Drift, also: Sequence[Write]) -> None:
        """Mark a shard to be published anew, and wake its publisher."""
        control = self.looking.control
        line = control.line("repairing", why=drift.summary, trace=self.trace)
        after = worker.to_publish(control.now())
        control.state.commit(
            Change(worker, after, line), also=[*also, *self._line_of_tenant(drift)]
        )
        self.published.add(worker.script)
        control.queues.wake(worker.script, self.trace)

    def _line_of_tenant(self, drift: Drift) -> list[Write]:
        if drift.tenant_id is None:
            return []
        line = self.looking.control.line("repairing", why=drift.summary, trace=self.trace)
        return [line_put(f"TENANT#{drift.tenant_id}", line)]

    # The directory

    def _route(self, drift: Drift, repair: RepublishRoute) -> bool:
        """Have a tenant routed anew, with a version to which what the directory holds gives way."""
        control = self.looking.control
        tenant = control.state.tenant(repair.tenant_id)
        if tenant is None or tenant.version != repair.version:
            return False
        version = giving_way(tenant.version + 1, repair.above)
        after = tenant.changed(control.now(), version=version, routed_status=MISROUTED)
        line = control.line("routing anew", why=drift.summary, trace=self.trace)
        # First: no sweep looks after an active tenant, should this die before it is woken.
        control.enqueue("tenant", tenant.tenant_id, trace=self.trace)
        control.state.commit(Change(tenant, after, line))
        enqueue_quietly(control, "tenant", tenant.tenant_id, trace=self.trace)
        return True

    def _shut(self, tenant_id: str, above: int) -> bool:
        """Close the row of a tenant that nobody knows: it leads to somebody else's data."""
        if self.looking.control.state.tenant(tenant_id) is not None:
            return False
        row = DirectoryRow(tenant_id=tenant_id, state="closed", version=giving_way(1, above))
        [standing] = self.looking.outside.router().upsert([row])
        log.warning("the route of an unknown tenant was closed", extra={"tenant_id": tenant_id})
        return standing.applied

    def _wake_tenant(self, drift: Drift, tenant_id: str) -> None:
        control = self.looking.control
        if control.state.tenant(tenant_id) is not None:
            control.state.commit(also=self._line_of_tenant(drift))
        control.enqueue("tenant", tenant_id, trace=self.trace)


def _new_slot(script: str, slot: Slot) -> Write:
    put = slot_put(script, slot)
    return type(put)(put.item, Condition("the slot is new", "attribute_not_exists(pk)"))
