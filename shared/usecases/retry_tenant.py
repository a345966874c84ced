"""Send a tenant on its way again that failed, or whose closing was stopped. Called by the CLI.

What was said to be gone from D1 is asked for there before its tenant gets it back: all that spoke
against it may have been wrong at once, and then nothing was lost.
"""

from dataclasses import dataclass
from typing import Final, assert_never

from shared.aws.items import Change
from shared.aws.table import Write
from shared.cloudflare.errors import NotFound
from shared.domain.backup import BackupStatus, Restore, RestoreStatus
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.policy import DriftKind
from shared.domain.finding import fingerprint
from shared.domain.retrying import (
    GoOnLeaving,
    PutBack,
    RefuseRetry,
    StayAsItIs,
    TryAgain,
    plan_retry,
)
from shared.domain.tenant import Tenant
from shared.errors import Permanent
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings
from shared.usecases.keep_database import kept_database
from shared.usecases.outside import Outside
from shared.usecases.overviews import show_tenant
from shared.usecases.races import until_written
from shared.usecases.revive_tenant import revived
from shared.usecases.try_again import tried_again
from shared.usecases.wake_tenant import wake_tenant

__all__ = ["RetryTenant"]

_ANSWERS: Final = "SELECT count(*) FROM sqlite_master"
"""What only a database that can be read answers."""


@dataclass(frozen=True)
class RetryTenant:
    """Try tenants again."""

    control: Control
    outside: Outside

    def __call__(self, tenant_id: str, trace: str) -> Tenant:
        """Send a failed tenant, or one whose closing was stopped, on its way again.

        Its class's pool is tried again too. One that waits is woken; one that is settled stays as
        it is; one that failed because its database was missed gets it back, if D1 has it after all.

        Raises:
            Permanent: there is no such tenant, or it can't go on like this; the reason says how.
            Transient: the table is contended, or the table or Cloudflare does not answer.
        """
        tenant = until_written(lambda: self._attempt(tenant_id, trace), what=tenant_id)
        wake_tenant(self.control, tenant, trace)
        return tenant

    def _attempt(self, tenant_id: str, trace: str) -> Tenant:
        view = show_tenant(self.control, tenant_id)
        tenant, database = view.tenant, view.database
        restore = self.control.state.restore(tenant.restore_id) if tenant.restore_id else None
        action = plan_retry(tenant, database, self._restored(restore))
        match action:
            case StayAsItIs():
                return tenant
            case TryAgain(stopped=stopped):
                return self._again(tenant, restore, stopped, trace)
            case PutBack(database=database):
                return self._put_back(tenant, database, trace)
            case GoOnLeaving(database=database, to=to):
                return self._go_on_leaving(tenant, database, to, trace)
            case RefuseRetry(reason=reason):
                raise Permanent(reason)
            case _:
                assert_never(action)

    def _restored(self, restore: Restore | None) -> Database | None:
        """Return the database that a finished restore made."""
        if restore is None or restore.status is not RestoreStatus.DONE:
            return None
        return self.control.state.database(restore.database_ulid)

    # A tenant that failed

    def _again(
        self, before: Tenant, restore: Restore | None, stopped: Database | None, trace: str
    ) -> Tenant:
        control, now = self.control, self.control.now()
        # Or the tenant would be refused at once for the reason that was just mended.
        control.pools.unblock(before.class_)
        line = control.line("retried", why=before.reason or "", trace=trace)
        after = revived(control, before)
        changes = [Change(before, after, line)]
        if restore is not None and restore.status is RestoreStatus.REFUSED:
            changes.append(Change(restore, restore.moved(RestoreStatus.WANTED, now, reason=None)))
        also: list[Write] = []
        if stopped is not None and stopped.retry_as is not None:
            change, also = tried_again(control, stopped, stopped.retry_as, line)
            changes.append(change)
        control.state.commit(*changes, also=also)
        if stopped is not None:
            control.enqueue("database", stopped.ulid, trace=trace)
        return after

    def _put_back(self, before: Tenant, database: Database, trace: str) -> Tenant:
        """Give a tenant the database back that it has, on the way on which a resumed one comes."""
        self._see_on_d1(before, database)
        control = self.control
        line = control.line("put back", why=f"D1 has {database.name} after all", trace=trace)
        changes, also = kept_database(control, database, line)
        after = revived(control, before)
        control.state.commit(Change(before, after, line), *changes, also=also)
        control.queues.wake(database.shard, trace)
        over = {fingerprint(str(DriftKind.DATABASE_MISSING), database.ulid): "D1 has it after all"}
        KeepFindings(control)((), compared=(), over=over, trace=trace)
        return after

    def _see_on_d1(self, tenant: Tenant, database: Database) -> None:
        """See that D1 has the database by its own uuid and name, and that it answers.

        Raises:
            Permanent: it is gone, or is another one.
        """
        gone = Permanent(
            f"D1 has no {database.name} of the uuid {database.database_id}: "
            f"`d1fleet restore {tenant.tenant_id}` brings its newest backup back"
        )
        d1 = self.outside.cloudflare().on(Lane.REPAIR).d1
        found = d1.get(database.database_id) if database.database_id is not None else None
        if found is None or found.name != database.name:
            raise gone
        try:
            d1.read(found.uuid, [_ANSWERS])
        except NotFound as error:
            raise gone from error

    # A tenant that leaves

    def _go_on_leaving(
        self, tenant: Tenant, database: Database, to: DatabaseStatus, trace: str
    ) -> Tenant:
        """Let a closing go on that was stopped, from the step where it was."""
        control, now = self.control, self.control.now()
        line = control.line("retried", why=database.reason or "", trace=trace)
        again = database.moved(to, now, reason=None, retry_as=None)
        after = tenant.changed(now, held_up=None)
        refused = [
            backup
            for backup in control.state.backups_of(tenant.tenant_id)
            if backup.status is BackupStatus.REFUSED and backup.closing_id == tenant.closing_id
        ]
        control.state.commit(
            Change(database, again, line),
            Change(tenant, after, line),
            *(Change(each, each.moved(BackupStatus.WANTED, now, reason=None)) for each in refused),
        )
        control.enqueue("backup", *(each.backup_id for each in refused), trace=trace)
        return after
