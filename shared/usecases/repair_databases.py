"""Repairs of databases: those that are gone, and those whose record is.

What is said to be gone is asked for once more right before, by uuid. A tenant's database is never
replaced by an empty one: its tenant fails, and a restore is what brings it back.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias, assert_never

from shared.aws.items import Change, slot_put
from shared.aws.table import Condition, Put, Write
from shared.domain.classes import DATABASE_CLASSES
from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.kinds import Drift
from shared.domain.drift.repairs import FailTenant, HandBack, MigratePooled, Readopt, SetAside
from shared.domain.names import database_name
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Slot
from shared.usecases.context import enqueue_quietly
from shared.usecases.gather_databases import may_answer
from shared.usecases.looking import Looking
from shared.usecases.turn_out import turn_out

__all__ = ["DatabaseRepair", "RepairDatabases"]

DatabaseRepair: TypeAlias = Readopt | HandBack | SetAside | FailTenant | MigratePooled

_FIELDS: Final = ("uuid", "name", "jurisdiction", "running_in_region")
_MAY_FAIL: Final = frozenset({TenantStatus.ACTIVATING, TenantStatus.ACTIVE, TenantStatus.SUSPENDED})


@dataclass(frozen=True)
class RepairDatabases:
    """Repair the records of databases."""

    looking: Looking
    trace: str

    def __call__(self, drift: Drift, repair: DatabaseRepair) -> bool:
        """Do one repair; False says that things have changed since they were seen.

        Raises:
            NoPermit: the budget says wait.
            Conflict: somebody else was quicker.
        """
        match repair:
            case Readopt(ulid=ulid, database_id=database_id, owner=owner):
                return self._readopt(drift, ulid, database_id, owner)
            case HandBack(ulid=ulid, database_id=database_id, tenant_id=tenant_id):
                return self._hand_back(drift, ulid, database_id, tenant_id)
            case SetAside(ulid=ulid, version=version):
                return self._set_aside(drift, ulid, version)
            case FailTenant():
                return self._fail(repair)
            case MigratePooled(ulid=ulid, version=version, seen=seen):
                return self._migrate(drift, ulid, version, seen)
            case _:
                assert_never(repair)

    # Records that were lost

    def _readopt(self, drift: Drift, ulid: str, database_id: str, owner: str | None) -> bool:
        """Give it a record, quarantined: whatever is in it, nobody gets it by himself."""
        control = self.looking.control
        class_ = self._class_on_d1(ulid, database_id)
        rooms = control.pools.shards()
        if class_ is None or not rooms:
            return False
        reason = "its record was lost; look whose it is: `d1fleet sql`, `d1fleet restore`"
        record = self._record(
            ulid,
            database_id,
            status=DatabaseStatus.QUARANTINED,
            class_=class_,
            shard=rooms[0].script,
            owner=owner,
            reason=reason,
        )
        line = control.line("adopted", why=drift.summary, trace=self.trace)
        control.state.commit(Change(None, record, line))
        return True

    def _hand_back(self, drift: Drift, ulid: str, database_id: str, tenant_id: str) -> bool:
        """Give it the record that its tenant's says it had."""
        control = self.looking.control
        tenant = control.state.tenant(tenant_id)
        if tenant is None or (tenant.database_ulid, tenant.database_id) != (ulid, database_id):
            return False
        class_, shard = self._class_on_d1(ulid, database_id), tenant.shard
        if class_ is None or shard is None:
            return False
        record = self._record(
            ulid,
            database_id,
            status=DatabaseStatus.CLAIMED,
            class_=tenant.class_,
            shard=shard,
            owner=tenant_id,
            tenant_id=tenant_id,
            schema_version=tenant.schema_version,
        )
        line = control.line("handed back", why=drift.summary, trace=self.trace)
        also: list[Write] = []
        if control.state.slot(shard, ulid) is None:
            slot = Slot(
                ulid=ulid, binding=record.binding, database_id=database_id, made_at=control.now()
            )
            new = Condition("the slot is new", "attribute_not_exists(pk)")
            also.append(Put(slot_put(shard, slot).item, new))
        back = tenant.noted(control.now())
        control.state.commit(Change(None, record, line), Change(tenant, back, line), also=also)
        if also:
            control.queues.wake(shard, self.trace)
        return True

    def _class_on_d1(self, ulid: str, database_id: str) -> str | None:
        """Return the class of a database that is there under its own name, else None."""
        self.looking.calls += 1
        found = self.looking.api().d1.get(database_id, _FIELDS)
        if found is None or found.name != database_name(self.looking.fleet, ulid):
            return None
        for hint in (found.jurisdiction, found.running_in_region):
            if hint is not None and hint.lower() in DATABASE_CLASSES:
                return hint.lower()
        return self.looking.control.settings.default_class

    def _record(self, ulid: str, database_id: str, **fields: Any) -> Database:
        now = self.looking.control.now()
        times = {"created_at": now, "updated_at": now, "status_since": now}
        name = database_name(self.looking.fleet, ulid)
        return Database(ulid=ulid, name=name, database_id=database_id, **fields, **times)

    # Databases that are gone

    def _set_aside(self, drift: Drift, ulid: str, version: int) -> bool:
        """Quarantine the record of what is gone and no tenant's, so that nobody claims it."""
        control = self.looking.control
        database = self._gone(ulid, version)
        if database is None:
            return False
        reason = "D1 does not have it any more"
        after = database.moved(
            DatabaseStatus.QUARANTINED, control.now(), reason=reason, retry_as=None
        )
        line = control.line("quarantined", why=drift.summary, trace=self.trace)
        control.state.commit(Change(database, after, line), also=turn_out(control, database))
        control.queues.wake(database.shard, self.trace)
        enqueue_quietly(control, "pool", database.class_, trace=self.trace)
        return True

    def _fail(self, repair: FailTenant) -> bool:
        """Say of a tenant that its data is gone, and how it comes back."""
        control, now = self.looking.control, self.looking.control.now()
        record = control.state.database(repair.ulid)
        if record is None or record.status is DatabaseStatus.DELETED:
            return self._fail_without_record(repair)
        database = self._gone(repair.ulid, repair.version)
        if database is None or self._answers_all_the_same(database.shard, database.ulid):
            return False
        tenant_id = repair.tenant_id
        reason = _gone_for_good(database.name, tenant_id)
        line = control.line("failed", why=reason, trace=self.trace)
        changes = []
        if database.status is not DatabaseStatus.QUARANTINED:
            aside = database.moved(DatabaseStatus.QUARANTINED, now, reason=reason, retry_as=None)
            changes.append(Change(database, aside, line))
        tenant = control.state.tenant(tenant_id)
        if tenant is not None and tenant.database_ulid == repair.ulid:
            changes += self._failed(tenant, reason)
        if not changes:
            return False
        control.state.commit(*changes, also=turn_out(control, database))
        control.queues.wake(database.shard, self.trace)
        enqueue_quietly(control, "tenant", tenant_id, trace=self.trace)
        return True

    def _fail_without_record(self, repair: FailTenant) -> bool:
        """Say so of a tenant whose database has no record either; publishing unbinds it."""
        control = self.looking.control
        tenant = control.state.tenant(repair.tenant_id)
        if tenant is None or tenant.database_ulid != repair.ulid or tenant.database_id is None:
            return False
        if self._is_there(tenant.database_id):
            return False
        if tenant.shard is not None and self._answers_all_the_same(tenant.shard, repair.ulid):
            return False
        name = database_name(self.looking.fleet, repair.ulid)
        changes = self._failed(tenant, _gone_for_good(name, tenant.tenant_id))
        if not changes:
            return False
        control.state.commit(*changes)
        enqueue_quietly(control, "tenant", tenant.tenant_id, trace=self.trace)
        return True

    def _answers_all_the_same(self, shard: str, ulid: str) -> bool:
        """Say whether a database that is bound may still answer, whatever D1's API says of it."""
        slot = self.looking.control.state.slot(shard, ulid)
        bound = slot is not None and slot.live and not slot.leaving
        return bound and may_answer(self.looking, shard, ulid)

    def _failed(self, tenant: Tenant, reason: str) -> list[Change]:
        """Return the change of the tenant; one that leaves goes on leaving, and is held up."""
        control = self.looking.control
        if tenant.status not in _MAY_FAIL:
            return []
        after = tenant.moved(TenantStatus.FAILED, control.now(), reason=reason)
        return [Change(tenant, after, control.line("failed", why=reason, trace=self.trace))]

    def _gone(self, ulid: str, version: int) -> Database | None:
        """Return the record as it was seen, if D1 still says that it has no such database."""
        database = self.looking.control.state.database(ulid)
        if database is None or database.version != version or database.database_id is None:
            return None
        return None if self._is_there(database.database_id) else database

    def _is_there(self, database_id: str) -> bool:
        self.looking.calls += 1
        return self.looking.api().d1.get(database_id) is not None

    # Schemas

    def _migrate(self, drift: Drift, ulid: str, version: int, seen: str) -> bool:
        """Write down what the ledger of a database of the pool says, and have it migrated."""
        control = self.looking.control
        database = control.state.database(ulid)
        if database is None or database.version != version:
            return False
        after = database.changed(control.now(), schema_version=seen)
        line = control.line("behind", why=drift.summary, trace=self.trace)
        control.state.commit(Change(database, after, line))
        enqueue_quietly(control, "database", ulid, trace=self.trace)
        return True


def _gone_for_good(name: str, tenant_id: str) -> str:
    return f"D1 does not have {name} any more: `d1fleet restore {tenant_id}`"
