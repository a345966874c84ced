"""Take a tenant one step nearer to what it should be. Called for every work message of a tenant."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from shared.aws.items import Change, database_of, tenant_of
from shared.domain.backup import RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, Outcome
from shared.domain.plan import (
    AwaitDatabase,
    AwaitRebinding,
    AwaitRestore,
    BeginRestore,
    Claim,
    ConfirmLive,
    Fail,
    KeepDatabase,
    Leave,
    MigrateFirst,
    Nothing,
    PublishRoute,
    SettleRoute,
    plan_tenant,
)
from shared.domain.tenant import MISROUTED, Tenant, TenantStatus
from shared.errors import Conflict, Permanent, Transient
from shared.router.errors import MigrationFailed
from shared.router.models import DirectoryRow
from shared.usecases.alerts import alert_put
from shared.usecases.attempts import attempt, wait
from shared.usecases.brakes import note_departure
from shared.usecases.claim_database import claim
from shared.usecases.context import Control, deliver_now, enqueue_quietly
from shared.usecases.give_back import NOBODY_WAITS
from shared.usecases.hold_up import hold_up
from shared.usecases.keep_database import keep_database
from shared.usecases.lifecycle_events import RETURNING, cut_off_event, lifecycle_event
from shared.usecases.migrate_database import migrate_to_head
from shared.usecases.outside import Outside
from shared.usecases.refill_pool import SETTLED
from shared.usecases.request_restore import request_restore
from shared.usecases.tear_down import TearDown
from shared.usecases.tell import tell_now
from shared.usecases.try_again import tried_again

__all__ = ["AdvanceTenant"]

STEPS: Final = 12
WAIT_FOR_DATABASE: Final = 20.0
WAIT_FOR_SHARD: Final = 30.0
WAIT_FOR_RESTORE: Final = 60.0
COUNT_AGAIN: Final = timedelta(seconds=60)

_HOLD: Final = frozenset({TenantStatus.ACTIVATING, TenantStatus.SUSPENDED})
_MAY_FAIL: Final = frozenset({TenantStatus.PENDING, TenantStatus.ACTIVATING})

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class AdvanceTenant:
    """Advance tenants."""

    control: Control
    outside: Outside

    def __call__(self, message: Message) -> Outcome:
        """Do what can be done now for the tenant that a message names."""
        trace = message.trace
        return attempt(
            self.control,
            message,
            key="TENANT",
            read=tenant_of,
            work=lambda tenant: self._steps(tenant, trace),
            cut_off=lambda tenant: self._cut_off(tenant, trace),
            refuse=lambda _, tenant, error: self._refuse(tenant, error, trace),
            settled=Done,
        )

    def _steps(self, tenant: Tenant, trace: str) -> Outcome:
        routed: str | None = None
        tried_claim = False
        blocked: str | None = None
        head = self.outside.head()
        for _ in range(STEPS):
            action = plan_tenant(
                tenant,
                database=self._held(tenant),
                head=head,
                routed=routed,
                blocked=blocked,
                tried_claim=tried_claim,
            )
            match action:
                case Nothing():
                    return Done()
                case Claim():
                    tried_claim = True
                    tenant, blocked = self._claim(tenant, trace)
                case AwaitDatabase() | AwaitRebinding() | AwaitRestore():
                    return self._await(action, tenant, trace)
                case Fail(reason=reason):
                    by_pool = tenant.status is TenantStatus.PENDING
                    return self._fail(tenant, reason, trace, by_pool=by_pool)
                case KeepDatabase() | BeginRestore():
                    tenant = self._take_back(action, tenant, trace)
                case MigrateFirst():
                    tenant = self._migrate(tenant, trace)
                    head = tenant.schema_version
                case PublishRoute(state=state):
                    routed = self._publish(tenant, state)
                case SettleRoute(state=state):
                    tenant = self._settle(tenant, state, trace)
                case ConfirmLive():
                    return self._confirm(tenant, head, trace)
                case Leave():
                    return TearDown(self.control, self.outside)(tenant, trace)
                case _:
                    assert_never(action)
        raise Transient("the tenant takes more steps than one attempt has")

    def _held(self, tenant: Tenant) -> Database | None:
        """Return the tenant's database where its state decides what comes next."""
        if tenant.database_ulid is None or tenant.status not in _HOLD:
            return None
        return self._database(tenant)

    def _claim(self, tenant: Tenant, trace: str) -> tuple[Tenant, str | None]:
        """Try to claim a database; return the tenant, and why none can be made, if so."""
        found = claim(self.control, tenant, tenant, why="a database is ready", trace=trace)
        stop = None if found is not None else self.control.pools.blocked(tenant.class_)
        if found is not None or self._pool_is_unaware(tenant):
            enqueue_quietly(self.control, "pool", tenant.class_, trace=trace)
        return found or tenant, stop.reason if stop else None

    def _await(
        self, action: AwaitDatabase | AwaitRebinding | AwaitRestore, tenant: Tenant, trace: str
    ) -> Outcome:
        match action:
            case AwaitDatabase():
                return self._await_database(tenant)
            case AwaitRebinding():
                self.control.queues.wake(self._database(tenant).shard, trace)
                why = "its database is bound again"
                return wait(self.control, tenant, after=WAIT_FOR_SHARD, why=why)
            case AwaitRestore():
                return self._await_restore(tenant, trace)

    def _take_back(self, action: KeepDatabase | BeginRestore, tenant: Tenant, trace: str) -> Tenant:
        """Take back what a closing did: keep the database, or have its backup restored."""
        control = self.control
        if isinstance(action, KeepDatabase):
            keep_database(control, self._database(tenant), trace)
            return tenant
        backup = control.state.backup(action.backup_id)
        if backup is None:
            raise Permanent(f"the record of backup {action.backup_id} is gone: restore the table")
        pending = tenant.changed(control.now())
        request_restore(control, tenant, backup, waiting=pending, trace=trace)
        return control.state.tenant(tenant.tenant_id) or pending

    def _await_restore(self, tenant: Tenant, trace: str) -> Outcome:
        control = self.control
        restore = control.state.restore(tenant.restore_id or "")
        if restore is None or restore.status is RestoreStatus.REFUSED:
            why = restore.reason if restore else "its record is gone"
            return self._fail(tenant, f"the backup can't be restored: {why}", trace)
        database = control.state.database(restore.database_ulid)
        if database is not None and database.reason == NOBODY_WAITS:
            # It came while the tenant was leaving, and the tenant is back.
            line = control.line("tried again", why="its tenant waits for it", trace=trace)
            change, also = tried_again(control, database, DatabaseStatus.MIGRATING, line)
            control.state.commit(change, also=also)
            enqueue_quietly(control, "database", database.ulid, trace=trace)
        elif database is not None and database.status is DatabaseStatus.QUARANTINED:
            why = f"the restored {database.name} is quarantined: {database.reason}"
            return self._fail(tenant, why, trace)
        unseen = restore.attempts == 0 and restore.token is None
        # Proven, it waits for the database that it replaces to be gone: this may be that news.
        if unseen or restore.status is RestoreStatus.PROVEN:
            enqueue_quietly(control, "restore", restore.restore_id, trace=trace)
        return wait(control, tenant, after=WAIT_FOR_RESTORE, why="a backup is being restored")

    def _pool_is_unaware(self, tenant: Tenant) -> bool:
        """Say whether nobody has counted the tenants that wait since this one does, or for long."""
        looked_at = self.control.pools.looked_at(tenant.class_)
        seen = max(tenant.status_since + SETTLED, self.control.now() - COUNT_AGAIN)
        return looked_at is None or looked_at < seen

    def _await_database(self, tenant: Tenant) -> Outcome:
        if tenant.class_ not in self.control.settings.database_classes:
            raise Permanent(f"add class {tenant.class_} to DATABASE_CLASSES again, or none is made")
        # The database that is made for it comes to it by itself; looking again is the second line,
        # and seldom: hundreds may wait at once, and each look is work that the makers don't do.
        after = min(60.0, WAIT_FOR_DATABASE * 2 ** min(tenant.failures, 3))
        why = "no database is ready yet"
        return wait(self.control, tenant, after=after, why=why, failures=tenant.failures + 1)

    def _migrate(self, tenant: Tenant, trace: str) -> Tenant:
        database = self._database(tenant)
        head = migrate_to_head(self.outside, database)
        control, now = self.control, self.control.now()
        line = control.line("migrated", why=f"to {head}", trace=trace)
        after = tenant.changed(now, schema_version=head)
        control.state.commit(
            Change(tenant, after, line),
            Change(database, database.changed(now, schema_version=head)),
        )
        return after

    def _database(self, tenant: Tenant) -> Database:
        item = self.control.state.table.get(f"DB#{tenant.database_ulid}")
        if item is None:
            raise Permanent("the record of this tenant's database is gone: restore the table")
        database = database_of(item)
        if database.owner != tenant.tenant_id:
            raise Permanent("the database that this tenant points to belongs to somebody else")
        return database

    def _publish(self, tenant: Tenant, state: str) -> str:
        """Write the tenant's route into the directory; return the state that it now holds."""
        row = self.outside.router().upsert([_row(tenant, state)])[0]
        if row.version > tenant.version:
            raise Conflict("the directory is not ahead of the tenant's record")
        if row.database_uuid != tenant.database_id:
            raise Transient("the directory holds an older route of the same version", retry_after=5)
        return row.state

    def _settle(self, tenant: Tenant, state: str, trace: str) -> Tenant:
        """Write down that the directory holds the tenant's state; tell whom it cuts off."""
        control, now = self.control, self.control.now()
        cut = {"access_cut_at": now} if tenant.status is TenantStatus.CLOSING else {}
        after = tenant.changed(
            now, routed_status=state, failures=tenant.failures, held_up=None, **cut
        )
        # A row that somebody falsified is only put right: its state was told when it came about.
        told = tenant.routed_status == MISROUTED
        event = None if told else cut_off_event(control, after, trace)
        control.state.commit(Change(tenant, after), also=[event] if event else [])
        if event is not None:
            deliver_now(control, event.item)
            note_departure(control, after, trace)
        return after

    def _confirm(self, tenant: Tenant, head: str, trace: str) -> Outcome:
        seen = self.outside.router().probe(tenant.tenant_id)
        if (seen.database_uuid, seen.binding, seen.shard) != (
            tenant.database_id,
            tenant.binding,
            tenant.shard,
        ):
            raise Transient("the router answered from another database", retry_after=5)
        control, now = self.control, self.control.now()
        after = tenant.moved(
            TenantStatus.ACTIVE,
            now,
            routed_status=TenantStatus.ACTIVE,
            reason=None,
            returning=None,
        )
        ready = lifecycle_event(
            control, RETURNING[tenant.returning], after, trace=trace, schema_version=head
        )
        line = control.line("active", why=f"seen live on {seen.shard}", trace=trace)
        control.state.commit(Change(tenant, after, line), also=[ready])
        deliver_now(control, ready.item)
        return Done()

    def _cut_off(self, tenant: Tenant, trace: str) -> Outcome:
        reason = "ten attempts were cut off: see the logs"
        if tenant.status not in _MAY_FAIL:
            return hold_up(self.control, tenant, "cut off", reason, trace)
        return self._fail(tenant, reason, trace)

    def _refuse(self, tenant: Tenant, error: Permanent, trace: str) -> Outcome:
        if tenant.status not in _MAY_FAIL:
            # What was decided about it stands, closing above all.
            return hold_up(self.control, tenant, type(error).__name__, error.reason, trace)
        # A wrong migration is the pool's trouble too: mended, the tenant goes on by itself.
        by_pool = isinstance(error, MigrationFailed)
        return self._fail(tenant, error.reason, trace, by_pool=by_pool)

    def _fail(self, tenant: Tenant, reason: str, trace: str, *, by_pool: bool = False) -> Outcome:
        """Store the reason where people look, alert once, and tell the app that it has to wait."""
        control, now = self.control, self.control.now()
        alert = alert_put(
            now,
            kind="tenant_failed",
            severity="error",
            subject=tenant.tenant_id,
            summary=reason,
            tenant_id=tenant.tenant_id,
        )
        line = control.line("failed", why=reason, trace=trace)
        after = tenant.moved(TenantStatus.FAILED, now, reason=reason, failed_by_pool=by_pool)
        try:
            control.state.commit(Change(tenant, after, line), also=[alert])
        except Conflict:
            return wait(control, tenant, after=2, why="moved by somebody else meanwhile")
        tell_now(control, alert)
        enqueue_quietly(control, "tenant", tenant.tenant_id, trace=trace)
        return GaveUp(reason)


def _row(tenant: Tenant, state: str) -> DirectoryRow:
    return DirectoryRow(
        tenant_id=tenant.tenant_id,
        shard=tenant.shard,
        binding=tenant.binding,
        database_uuid=tenant.database_id,
        state=state,
        schema_version=tenant.schema_version,
        version=tenant.version,
    )
