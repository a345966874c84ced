"""What an operator asks for with `restore`: a tenant's data back, or a copy of it. For the CLI.

The long work is the backup function's; here it is only decided and written down. Everything here is
safe to ask for again.
"""

from dataclasses import dataclass
from typing import assert_never

from shared.aws.items import Change
from shared.domain.backup import Backup, Restore
from shared.domain.database import Database, DatabaseStatus
from shared.domain.restoring import (
    BringBack,
    CopyBeside,
    IsUnderWay,
    RefuseRestore,
    Replace,
    Resume,
    plan_restore,
)
from shared.domain.tenant import Tenant
from shared.errors import Permanent
from shared.usecases.brakes import count_delete
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import DROPPABLE, owned_database
from shared.usecases.races import until_written
from shared.usecases.request_restore import request_restore
from shared.usecases.turn_out import turn_out

__all__ = ["Asked", "OperateRestore"]


@dataclass(frozen=True)
class Asked:
    """Say what became of the word: the tenant as it is now, and the restore, if there is one.

    Without a restore the tenant was resumed: what it had is there, or comes back as it was proven.
    """

    tenant: Tenant
    restore: Restore | None


@dataclass(frozen=True)
class OperateRestore:
    """Ask for restores.

    Every method raises `Permanent` when it makes no sense, `Transient` when the table is contended
    or does not answer.
    """

    control: Control

    def restore(
        self, tenant_id: str, *, backup_id: str | None, detached: bool, replace: bool, trace: str
    ) -> Asked:
        """Bring a tenant's data back from a backup, the newest proven one unless one is named.

        A closing tenant is resumed. With `detached` the backup goes into a database that nobody
        uses; with `replace` it takes the place of what a live tenant has once it is proven; until
        then the tenant is served as before, and what it had stays, detached.
        """
        return until_written(
            lambda: self._attempt(tenant_id, backup_id, trace, detached=detached, replace=replace),
            what=tenant_id,
        )

    def drop(self, tenant_id: str, name: str, *, trace: str) -> Database:
        """Delete a database that a tenant does not use, on the operator's word; return its record.

        Detached and quarantined ones, copies that is. The breaker counts it and, when open, stops
        it; one that is being deleted already is only woken.
        """
        database = until_written(lambda: self._drop(tenant_id, name, trace), what=name)
        if database.status is DatabaseStatus.DELETING:
            enqueue_quietly(self.control, "database", database.ulid, trace=trace)
        elif database.status is not DatabaseStatus.DELETED:
            raise Permanent(f"{name} is {database.status}: only a copy can be dropped")
        return database

    def _drop(self, tenant_id: str, name: str, trace: str) -> Database:
        database = self._unused(tenant_id, name)
        return self._dropped(database, trace) if database.status in DROPPABLE else database

    def _unused(self, tenant_id: str, name: str) -> Database:
        """Return a tenant's database that the tenant neither uses nor waits for."""
        tenant = show_tenant(self.control, tenant_id).tenant
        database = owned_database(self.control, tenant_id, name)
        waits_for = self.control.state.restore(tenant.restore_id) if tenant.restore_id else None
        used = {tenant.database_ulid, waits_for.database_ulid if waits_for else None}
        if database.ulid in used and database.status is not DatabaseStatus.DELETED:
            raise Permanent(f"{tenant_id} uses {name} or waits for it: it is no copy")
        return database

    def _dropped(self, database: Database, trace: str) -> Database:
        control, now = self.control, self.control.now()
        aside = database
        if database.status is DatabaseStatus.QUARANTINED:
            aside = database.moved(DatabaseStatus.DETACHED, now)
        after = aside.moved(DatabaseStatus.DELETING, now, reason=None, retry_as=None)
        line = control.line("deleting", why="an operator's word", trace=trace)
        unbound = turn_out(control, database)
        change = Change(database, after, line)
        control.state.commit(change, also=[count_delete(control), *unbound])
        if unbound:
            control.queues.wake(database.shard, trace)
        return after

    def _attempt(
        self, tenant_id: str, backup_id: str | None, trace: str, *, detached: bool, replace: bool
    ) -> Asked:
        control = self.control
        view = show_tenant(control, tenant_id)
        tenant = view.tenant
        action = plan_restore(
            tenant,
            view.database,
            control.state.backups_of(tenant_id),
            wanted=backup_id,
            detached=detached,
            replace=replace,
            under_way=control.state.restore(tenant.restore_id) if tenant.restore_id else None,
            now=control.now(),
        )
        match action:
            case RefuseRestore(reason=reason):
                raise Permanent(reason)
            case Resume():
                return Asked(OperateTenant(control).resume(tenant_id, trace=trace), None)
            case IsUnderWay(restore_id=restore_id):
                return Asked(tenant, self._woken(tenant, restore_id, trace))
            case CopyBeside(backup=backup):
                return Asked(tenant, request_restore(control, tenant, backup, trace=trace))
            case BringBack(backup=backup, pending=pending):
                return self._asked(tenant, backup, pending, None, trace)
            case Replace(backup=backup, replaced=replaced):
                as_it_is = tenant.noted(control.now())
                return self._asked(tenant, backup, as_it_is, replaced.ulid, trace)
            case _:
                assert_never(action)

    def _asked(
        self, tenant: Tenant, backup: Backup, waiting: Tenant, replaces: str | None, trace: str
    ) -> Asked:
        control = self.control
        restore = request_restore(
            control, tenant, backup, waiting=waiting, replaces=replaces, trace=trace
        )
        enqueue_quietly(control, "tenant", tenant.tenant_id, trace=trace)
        return Asked(show_tenant(control, tenant.tenant_id).tenant, restore)

    def _woken(self, tenant: Tenant, restore_id: str, trace: str) -> Restore | None:
        """Wake all who have a part in a restore: whoever asked first may have died before that."""
        enqueue_quietly(self.control, "restore", restore_id, trace=trace)
        enqueue_quietly(self.control, "tenant", tenant.tenant_id, trace=trace)
        return self.control.state.restore(restore_id)
