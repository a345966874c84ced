"""Restore a backup into a fresh database. Called for every message about a restore.

::

    wanted ─▶ created on D1 ─▶ importing ─▶ proven ─▶ (what it replaces is gone) ─▶ bound: done
                                              └─▶ detached: done

The record comes first, the name settles a create whose answer was lost, and what a database holds
is looked at before anything is loaded into it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never

from shared.aws.backups import BackupStore
from shared.aws.items import Change, HistoryLine, restore_of, slot_put
from shared.aws.table import Write
from shared.cloudflare.errors import NameTaken
from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, Outcome
from shared.domain.restoring import AwaitTenant, IsSwapped, RefuseRestore, Swap, plan_swap
from shared.domain.tenant import Tenant
from shared.domain.worker import Slot
from shared.dumps import load_sql, rehearse
from shared.errors import Conflict, OutcomeUnknown, Permanent
from shared.usecases.alerts import alert_put
from shared.usecases.attempts import wait
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.import_dump import ImportDump
from shared.usecases.long_attempts import BUSY, long_attempt
from shared.usecases.outside import Outside
from shared.usecases.reach_database import reach_over_rest
from shared.usecases.scratch import scratch
from shared.usecases.tell import tell_now
from shared.usecases.turn_out import turn_out

__all__ = ["RestoreBackup"]

LOOK_AGAIN: Final = 30.0
"""Seconds until it is looked at again whether the database that is replaced is gone."""


@dataclass(frozen=True)
class RestoreBackup:
    """Restore backups. Work files lie in `folder`; `pause` waits between the polls of an import."""

    control: Control
    outside: Outside
    store: BackupStore
    folder: Path
    pause: Callable[[float], None]

    def __call__(self, message: Message) -> Outcome:
        """Do what can be done now for the restore that a message names."""
        return long_attempt(
            self.control,
            message,
            read=restore_of,
            work=self._steps,
            refuse=self._refuse,
            tell=self._tell,
        )

    def _steps(self, restore: Restore, trace: str) -> Outcome:
        again: Restore | None = restore
        while again is not None:
            restore = again
            if self._is_over(restore):
                return self._let_go(restore, trace)
            match restore.status:
                case RestoreStatus.WANTED:
                    self._create(restore, trace)
                case RestoreStatus.IMPORTING:
                    self._import(restore, trace)
                case RestoreStatus.PROVEN:
                    return self._hand_over(restore, trace)
                case RestoreStatus.DONE | RestoreStatus.REFUSED:
                    return Done()
                case _:
                    assert_never(restore.status)
            again = self._begun_again(restore)
        return Done()  # somebody else goes on with it

    def _is_over(self, restore: Restore) -> bool:
        """Say whether nobody waits for the restore any more: what left must not come back."""
        if restore.detached or restore.settled:
            return False
        tenant = self.control.state.tenant(restore.tenant_id)
        return tenant is None or tenant.restore_id != restore.restore_id

    def _let_go(self, restore: Restore, trace: str) -> Outcome:
        """Write down that nobody wants the restore any more; that is no trouble of anybody's."""
        reason = "its tenant does not wait for it any more"
        line = self.control.line("not wanted any more", why=reason, trace=trace)
        changes = self._refusal(restore, reason, line)
        self.control.state.commit(*changes)
        return Done()

    def _begun_again(self, restore: Restore) -> Restore | None:
        """Return the restore as it now is, busy anew: each step ends an attempt in the record."""
        item = self.control.state.begin(
            "RESTORE", restore.restore_id, None, self.control.now(), busy=BUSY
        )
        return restore_of(item) if item else None

    # Creating

    def _create(self, restore: Restore, trace: str) -> None:
        control = self.control
        control.fleet.get()  # nothing is made before the fleet is ours
        backup, before = self._backup(restore), self._database(restore)
        if restore.replaces is not None:
            self._rehearse(backup)
        uuid, how = before.database_id, "it was there"
        if uuid is None:
            uuid, how = self._made(restore, before)
        now = control.now()
        if before.status is DatabaseStatus.QUARANTINED:
            # Refused once, and asked for again.
            fresh = {"reason": None, "retry_as": None, "database_id": uuid}
            after = before.moved(DatabaseStatus.IMPORTING, now, **fresh)
        else:
            after = before.changed(now, database_id=uuid)
        line = control.line("created", call=how, trace=trace)
        moved = restore.moved(RestoreStatus.IMPORTING, now, reason=None)
        control.state.commit(Change(restore, moved, line), Change(before, after, line))

    def _rehearse(self, backup: Backup) -> None:
        """See that a backup takes the migrations that came after it, while its tenant is served.

        Raises:
            Permanent: it does not, or the bucket no longer holds what was stored.
        """
        migrations = self.outside.migrations
        head = migrations.head()
        with scratch(self.folder) as folder:
            copy = folder / "rehearsal.sqlite"
            pieces = self.store.read(backup.key, backup.version_id, sha256=backup.sha256)
            load_sql(pieces, copy, limits=True)
            rehearse(copy, migrations.files(head) if head else ())

    def _made(self, restore: Restore, database: Database) -> tuple[str, str]:
        """Create the database on D1, or find what an earlier call made; return its uuid and how."""
        d1 = self.outside.cloudflare().on(Lane.REPAIR).d1
        look_first = restore.attempts > 1 or restore.failures > 0
        found = d1.get(database.name) if look_first else None
        if found is not None:
            return found.uuid, "found by its name"
        try:
            return d1.create(database.name, database.class_).uuid, "POST /d1/database"
        except NameTaken:
            # The name is one that we wrote down: an earlier call of ours made it.
            found = d1.get(database.name)
        if found is None:
            raise OutcomeUnknown("D1 says the name is taken and does not find it yet")
        return found.uuid, "found by its name"

    # Importing

    def _import(self, restore: Restore, trace: str) -> None:
        control = self.control
        backup, database = self._backup(restore), self._database(restore)
        source = reach_over_rest(self.outside, database, Lane.REPAIR, self.pause)
        found = ImportDump(control.settings, self.store, self.pause)(source, backup)
        line = control.line("proven", why=f"{found.rows} rows", trace=trace)
        after = restore.moved(RestoreStatus.PROVEN, control.now())
        control.state.commit(Change(restore, after, line))

    # Handing over

    def _hand_over(self, restore: Restore, trace: str) -> Outcome:
        """Have the database bound, or leave it detached; whichever it replaces must be gone."""
        control, now = self.control, self.control.now()
        database = self._database(restore)
        if restore.replaces is not None:
            restore, why = self._in_its_place(restore, trace)
            if why is not None:
                return wait(control, restore, after=LOOK_AGAIN, why=why)
        done = restore.moved(RestoreStatus.DONE, now)
        also: list[Write] = []
        if restore.detached:
            after = database.moved(DatabaseStatus.DETACHED, now, reason=None)
        else:
            after = database.moved(DatabaseStatus.BINDING, now, reason=None)
            slot = Slot(
                ulid=database.ulid,
                binding=database.binding,
                database_id=database.database_id,
                made_at=now,
            )
            also.append(slot_put(database.shard, slot))
        line = control.line(str(after.status), why="restored", trace=trace)
        control.state.commit(Change(restore, done, line), Change(database, after, line), also=also)
        self._tell(done, trace)
        return Done()

    def _in_its_place(self, restore: Restore, trace: str) -> tuple[Restore, str | None]:
        """Clear the place that the restored database takes; return what is still in it.

        Raises:
            Permanent: its tenant keeps what it has.
        """
        control = self.control
        tenant = control.state.tenant(restore.tenant_id)
        if tenant is None:
            raise Conflict("the tenant is there")
        replaced = control.state.database(restore.replaces or "")
        action = plan_swap(tenant, replaced, restore, control.now())
        match action:
            case RefuseRestore(reason=reason):
                raise Permanent(reason)
            case AwaitTenant():
                return restore, "its tenant is on its way to be served"
            case Swap():
                restore = self._swap(restore, tenant, replaced, action, trace)
            case IsSwapped():
                pass
            case _:
                assert_never(action)
        if replaced is None or self._is_gone(replaced):
            return restore, None
        # Until the directory knows, the app still reaches what is being replaced.
        enqueue_quietly(control, "tenant", restore.tenant_id, trace=trace)
        control.queues.wake(replaced.shard, trace)
        return restore, f"{replaced.name}, which it replaces, is still bound"

    def _swap(
        self,
        restore: Restore,
        tenant: Tenant,
        replaced: Database | None,
        swap: Swap,
        trace: str,
    ) -> Restore:
        """Cut the tenant off and put what it had aside; return the restore as it is then.

        Its record moves too, so that it is busy no more: whoever dies here has cut somebody off,
        and the next message must not wait until this attempt is known to be dead.
        """
        control = self.control
        after = restore.noted(control.now())
        line = control.line("swapped", why=f"backup {restore.backup_id} is proven", trace=trace)
        changes = [Change(restore, after, line), Change(tenant, swap.pending, line)]
        if swap.aside is not None:
            changes.append(Change(replaced, swap.aside, line))
        unbound = turn_out(control, replaced) if replaced is not None else []
        control.state.commit(*changes, also=unbound)
        return after

    def _is_gone(self, replaced: Database) -> bool:
        if replaced.status is DatabaseStatus.DELETED:
            return True
        slot = self.control.state.slot(replaced.shard, replaced.ulid)
        return slot is None or slot.gone

    # Gathering

    def _backup(self, restore: Restore) -> Backup:
        backup = self.control.state.backup(restore.backup_id)
        if backup is None or backup.status is not BackupStatus.PROVEN:
            raise Permanent(f"backup {restore.backup_id} was erased")
        if backup.tenant_id != restore.tenant_id:
            raise Permanent(f"backup {restore.backup_id} is not this tenant's")
        return backup

    def _database(self, restore: Restore) -> Database:
        database = self.control.state.database(restore.database_ulid)
        if database is None or database.owner != restore.tenant_id:
            raise Permanent("the record of the fresh database is gone: ask for the restore again")
        return database

    # Ends

    def _refuse(self, restore: Restore, reason: str, trace: str) -> Outcome:
        control, now = self.control, self.control.now()
        line = control.line("refused", why=reason, trace=trace)
        changes = self._refusal(restore, reason, line)
        alert = alert_put(
            now,
            kind="restore_refused",
            severity="error",
            subject=restore.restore_id,
            summary=f"restore {restore.restore_id} of backup {restore.backup_id} is refused: "
            + reason,
            tenant_id=restore.tenant_id,
        )
        control.state.commit(*changes, also=[alert])
        tell_now(control, alert)
        enqueue_quietly(control, "tenant", restore.tenant_id, trace=trace)
        return GaveUp(reason)

    def _refusal(self, restore: Restore, reason: str, line: HistoryLine) -> list[Change]:
        """Return the changes that end a restore; whatever was made of it is set aside."""
        control, now = self.control, self.control.now()
        refused = restore.moved(RestoreStatus.REFUSED, now, reason=reason)
        changes = [Change(restore, refused, line)]
        database = control.state.database(restore.database_ulid)
        if database is not None and database.status is DatabaseStatus.IMPORTING:
            aside = database.moved(
                DatabaseStatus.QUARANTINED, now, reason=reason, retry_as=DatabaseStatus.IMPORTING
            )
            changes.append(Change(database, aside, line))
        tenant = control.state.tenant(restore.tenant_id)
        if tenant is not None and self._keeps_what_it_has(tenant, restore):
            changes.append(Change(tenant, tenant.noted(now, restore_id=None), line))
        return changes

    @staticmethod
    def _keeps_what_it_has(tenant: Tenant, restore: Restore) -> bool:
        waits = tenant.restore_id == restore.restore_id
        return waits and restore.replaces is not None and tenant.database_ulid == restore.replaces

    def _tell(self, restore: Restore, trace: str) -> None:
        """Wake whoever goes on: the publisher of what is bound, the tenant of what was refused.

        Never both: a tenant that waits for its database asks here again, and would be woken by
        the answer without end.
        """
        if restore.status is RestoreStatus.REFUSED:
            enqueue_quietly(self.control, "tenant", restore.tenant_id, trace=trace)
            return
        database = self.control.state.database(restore.database_ulid)
        if database is not None and database.status is DatabaseStatus.BINDING:
            self.control.queues.wake(database.shard, trace)
