"""Take a closing tenant one step nearer to being gone. Called by `advance_tenant`, step by step.

Each step is written down before the next begins, on the tenant's version wherever a resume could
come between: whoever resumes first wins, up to the point of no return.
"""

import logging
from dataclasses import dataclass
from typing import Any, Final, assert_never

from shared.aws.items import Change, backup_is_proven
from shared.aws.table import Write
from shared.cloudflare.errors import NotFound
from shared.domain.backup import Backup, BackupReason
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outcomes import Done, Outcome
from shared.domain.teardown import (
    AwaitBackup,
    AwaitBound,
    AwaitDeletion,
    AwaitGone,
    AwaitUntil,
    BeginExport,
    BeginUnbinding,
    CloseEmpty,
    PassNoReturn,
    ReadBookmark,
    RequestBackup,
    StopLeaving,
    plan_teardown,
)
from shared.domain.tenant import Tenant
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.attempts import wait
from shared.usecases.brakes import take_delete
from shared.usecases.close_tenant import close_changes
from shared.usecases.context import Control, deliver_now, enqueue_quietly
from shared.usecases.hold_up import hold_up
from shared.usecases.outside import Outside
from shared.usecases.request_backup import request_backup
from shared.usecases.turn_out import turn_out

__all__ = ["TearDown"]

STEPS: Final = 8
LOOK_AGAIN: Final = 60.0
"""Seconds after which a closing looks for itself, should whoever wakes it have died before."""

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class TearDown:
    """Go on with a tenant's leaving."""

    control: Control
    outside: Outside

    def __call__(self, tenant: Tenant, trace: str) -> Outcome:
        """Do what can be done now.

        Raises:
            Conflict: the tenant, its database or the breaker was changed by somebody else.
            Transient: somebody does not answer, or the breaker is open.
        """
        control = self.control
        bookmark: str | None = None
        for _ in range(STEPS):
            database = self._database(tenant)
            backup = self._backup(tenant)
            action = plan_teardown(
                tenant,
                database,
                backup=backup,
                gone=database is not None and self._is_gone(database),
                bookmark=bookmark,
                access_settle=control.settings.access_settle,
                now=control.now(),
            )
            match action:
                case AwaitUntil(moment=moment, why=why):
                    seconds = (moment - control.now()).total_seconds()
                    return wait(control, tenant, after=max(0.0, seconds), why=why)
                case AwaitBackup() | AwaitGone() | AwaitBound() | AwaitDeletion():
                    return self._await(action, tenant, database, backup, trace)
                case CloseEmpty():
                    return self._close(tenant, trace)
                case StopLeaving(reason=reason):
                    return self._stop(tenant, database, reason, trace)
                case ReadBookmark():
                    bookmark = self._bookmark(_there(database))
                case RequestBackup():
                    self._request(tenant, _there(database), trace)
                case BeginExport():
                    tenant = self._moved(tenant, _there(database), DatabaseStatus.EXPORTING, trace)
                case BeginUnbinding():
                    tenant = self._unbind(tenant, _there(database), trace)
                case PassNoReturn():
                    tenant = self._pass(tenant, _there(database), backup, trace)
                case _:
                    assert_never(action)
        raise Transient("leaving takes more steps than one attempt has", retry_after=1)

    # Gathering

    def _database(self, tenant: Tenant) -> Database | None:
        ulid = tenant.database_ulid
        if ulid is None:
            return None
        database = self.control.state.database(ulid)
        if database is None:
            raise Permanent("the record of this tenant's database is gone: restore the table")
        if database.owner != tenant.tenant_id:
            raise Permanent("the database that this tenant points to belongs to somebody else")
        return database

    def _backup(self, tenant: Tenant) -> Backup | None:
        of_this = (
            backup
            for backup in self.control.state.backups_of(tenant.tenant_id)
            if backup.closing_id == tenant.closing_id
        )
        return max(of_this, key=lambda backup: backup.backup_id, default=None)

    def _is_gone(self, database: Database) -> bool:
        slot = self.control.state.slot(database.shard, database.ulid)
        return slot is None or slot.gone

    def _bookmark(self, database: Database) -> str:
        if database.database_id is None:
            raise Transient("the database has no uuid yet")
        try:
            return self.outside.cloudflare().on(Lane.TEARDOWN).d1.bookmark(database.database_id)
        except NotFound as error:
            raise Permanent(
                f"D1 has no {database.name} any more: if that is meant, `d1fleet tenants close "
                f"{database.owner} --without-backup`"
            ) from error

    # Steps

    def _request(self, tenant: Tenant, database: Database, trace: str) -> None:
        request_backup(
            self.control,
            tenant,
            database,
            because=BackupReason.CLOSING,
            closing_id=tenant.closing_id,
            block=True,
            trace=trace,
        )

    def _moved(
        self,
        tenant: Tenant,
        database: Database,
        to: DatabaseStatus,
        trace: str,
        *also: Write,
        why: str = "the tenant leaves",
        **changes: Any,
    ) -> Tenant:
        """Move the database with the tenant's version as a condition: a resume wins or loses."""
        control, now = self.control, self.control.now()
        after = tenant.changed(now, held_up=None, **changes)
        line = control.line(str(to), why=why, trace=trace)
        control.state.commit(
            Change(tenant, after, line), Change(database, database.moved(to, now), line), also=also
        )
        return after

    def _unbind(self, tenant: Tenant, database: Database, trace: str) -> Tenant:
        why = "an operator's word: without a backup" if tenant.without_backup else "proven"
        turned = turn_out(self.control, database)
        after = self._moved(tenant, database, DatabaseStatus.UNBINDING, trace, *turned, why=why)
        self.control.queues.wake(database.shard, trace)
        return after

    def _pass(
        self, tenant: Tenant, database: Database, backup: Backup | None, trace: str
    ) -> Tenant:
        """Pass the point of no return: one transaction, all that it rests on as its conditions."""
        also: list[Write] = [take_delete(self.control)]
        kept = None
        if not tenant.without_backup and backup is not None:
            also.append(backup_is_proven(backup))
            kept = backup.backup_id
        after = self._moved(
            tenant,
            database,
            DatabaseStatus.DELETING,
            trace,
            *also,
            why="the point of no return",
            past_no_return=True,
            final_backup_id=kept,
            # Or who comes back would wait for the older backup that was to replace what it had.
            restore_id=None if kept else tenant.restore_id,
        )
        enqueue_quietly(self.control, "database", database.ulid, trace=trace)
        return after

    # Ends of an attempt

    def _await(
        self,
        action: AwaitBackup | AwaitGone | AwaitBound | AwaitDeletion,
        tenant: Tenant,
        database: Database | None,
        backup: Backup | None,
        trace: str,
    ) -> Outcome:
        """Wait for somebody else's work, and wake them: their message may be lost."""
        control = self.control
        match action:
            case AwaitBackup():
                why = "the backup"
                if backup is not None and backup.attempts == 0 and backup.token is None:
                    enqueue_quietly(control, "backup", backup.backup_id, trace=trace)
            case AwaitGone() | AwaitBound():
                why = "the running shard"
                control.queues.wake(_there(database).shard, trace)
            case AwaitDeletion():
                why = "the deletion"
                enqueue_quietly(control, "database", _there(database).ulid, trace=trace)
            case _:
                assert_never(action)
        return wait(control, tenant, after=LOOK_AGAIN, why=why)

    def _close(self, tenant: Tenant, trace: str) -> Outcome:
        change, event, receipt = close_changes(
            self.control, tenant, None, trace=trace, why="there is no database"
        )
        self.control.state.commit(change, also=[event, receipt])
        deliver_now(self.control, event.item)
        enqueue_quietly(self.control, "tenant", tenant.tenant_id, trace=trace)
        return Done()

    def _stop(self, tenant: Tenant, database: Database | None, reason: str, trace: str) -> Outcome:
        """Keep everything as it is until a person looks; alert once."""
        control, now = self.control, self.control.now()
        if database is not None and database.status is not DatabaseStatus.QUARANTINED:
            stopped = database.moved(
                DatabaseStatus.QUARANTINED, now, reason=reason, retry_as=database.status
            )
            line = control.line("stopped", why=reason, trace=trace)
            control.state.commit(Change(database, stopped, line))
        mended = f"nothing was deleted; mend it, then `d1fleet tenants retry {tenant.tenant_id}`"
        return hold_up(control, tenant, "stopped", f"{reason}; {mended}", trace)


def _there(database: Database | None) -> Database:
    if database is None:
        raise Conflict("the database's record is there")
    return database
