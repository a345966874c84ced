"""Take a database one step nearer to being ready. Called for every work message of a database."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, assert_never

from shared.aws.items import Change, database_of, slot_put
from shared.cloudflare.errors import BadToken, NameTaken, WrongAccount
from shared.cloudflare.models import Database as D1Database
from shared.domain.budget import Lane
from shared.domain.database import MAKING, Database, DatabaseStatus
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, Outcome
from shared.domain.plan import (
    AwaitBinding,
    CreateDatabase,
    FinishDatabase,
    Migrate,
    Nothing,
    plan_database,
)
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Slot
from shared.errors import Conflict, OutcomeUnknown, Permanent, Transient
from shared.router.errors import MigrationFailed
from shared.usecases.alerts import alert_put
from shared.usecases.attempts import attempt, wait, wait_after
from shared.usecases.claim_database import claim_changes
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.delete_database import DeleteDatabase
from shared.usecases.free_slot import free_slot
from shared.usecases.give_back import give_back
from shared.usecases.let_go import let_go
from shared.usecases.migrate_database import migrate_to_head
from shared.usecases.outside import Outside
from shared.usecases.tell import tell_now

__all__ = ["BAD_TOKEN_WAIT", "AdvanceDatabase"]

STEPS: Final = 6
WAIT_FOR_BINDING: Final = timedelta(minutes=10)
OLDEST: Final = 10
WAITING_SEEN: Final = 200
BAD_TOKEN_WAIT: Final = 300.0

_RETRY_AS: Final = {
    DatabaseStatus.CREATING: DatabaseStatus.CREATING,
    DatabaseStatus.MIGRATING: DatabaseStatus.MIGRATING,
    # All its data is there; only its binding is not.
    DatabaseStatus.REBINDING: DatabaseStatus.REBINDING,
    # Back before the point of no return: all that it rests on is looked at once more.
    DatabaseStatus.DELETING: DatabaseStatus.UNBINDING,
}

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class AdvanceDatabase:
    """Advance databases."""

    control: Control
    outside: Outside

    def __call__(self, message: Message) -> Outcome:
        """Do what can be done now for the database that a message names."""
        trace = message.trace
        return attempt(
            self.control,
            message,
            key="DB",
            read=database_of,
            work=lambda database: self._advance(database, trace),
            cut_off=lambda database: self._cut_off(database, trace),
            refuse=lambda begun, database, error: self._refuse(begun, database, error, trace),
            settled=lambda: self._settled(message),
        )

    def _advance(self, database: Database, trace: str) -> Outcome:
        if database.status is DatabaseStatus.DELETING:
            return DeleteDatabase(self.control, self.outside)(database, trace)
        return self._steps(database, trace)

    def _steps(self, database: Database, trace: str) -> Outcome:
        migrated: str | None = None
        head = self.outside.head()
        for _ in range(STEPS):
            action = plan_database(database, head=head, migrated=migrated)
            match action:
                case Nothing():
                    return Done()
                case CreateDatabase(look_first=look_first):
                    database = self._create(database, look_first, trace)
                case AwaitBinding():
                    return self._await_binding(database, trace)
                case Migrate():
                    migrated = head = migrate_to_head(self.outside, database)
                case FinishDatabase():
                    return self._finish(database, head, trace)
                case _:
                    assert_never(action)
        raise Transient("the database takes more steps than one attempt has")

    # Creating

    def _create(self, database: Database, look_first: bool, trace: str) -> Database:
        self.control.fleet.get()  # nothing is made before the fleet is ours
        lane = Lane.SIGNUP if self._somebody_waits(database.class_) else Lane.REFILL
        d1 = self.outside.cloudflare().on(lane).d1
        found = d1.get(database.name) if look_first else None
        how = "found by its name"
        if found is None:
            try:
                found, how = d1.create(database.name, database.class_), "POST /d1/database"
            except NameTaken:
                # The name is one that we wrote down: an earlier call of ours made it.
                found = self._adopt(d1.get(database.name))
        return self._created(database, found, how, trace)

    @staticmethod
    def _adopt(found: D1Database | None) -> D1Database:
        if found is None:
            raise OutcomeUnknown("D1 says the name is taken and does not find it yet")
        return found

    def _created(self, database: Database, made: D1Database, how: str, trace: str) -> Database:
        control, now = self.control, self.control.now()
        after = database.moved(
            DatabaseStatus.BINDING, now, database_id=made.uuid, uncertain=False, reason=None
        )
        slot = Slot(
            ulid=database.ulid, binding=database.binding, database_id=made.uuid, made_at=now
        )
        line = control.line("created", call=how, trace=trace)
        control.state.commit(Change(database, after, line), also=[slot_put(database.shard, slot)])
        return after

    def _await_binding(self, database: Database, trace: str) -> Outcome:
        """Wake the publisher. It wakes this database again; the sweep does if that is lost."""
        self.control.queues.wake(database.shard, trace)
        wake_at = self.control.now() + WAIT_FOR_BINDING
        self.control.state.postpone(database, wake_at=wake_at, failures=0)
        return Done()

    # Finishing

    def _finish(self, database: Database, head: str, trace: str) -> Outcome:
        control = self.control
        if control.pools.blocked(database.class_) is not None:
            control.pools.unblock(database.class_)
            enqueue_quietly(control, "pool", database.class_, trace=trace)
        if database.owner is not None:
            return give_back(control, database, head, trace)
        fresh = {"schema_version": head, "reason": None}
        for hint in self._waiting(database.class_)[:OLDEST]:
            tenant = control.state.tenant(hint.tenant_id)
            if tenant is not None and self._give(database, tenant, head, trace):
                return Done()
        after = database.moved(DatabaseStatus.READY, control.now(), **fresh)
        line = control.line("ready", why=f"schema {head or 'empty'}", trace=trace)
        control.state.commit(Change(database, after, line))
        return Done()

    def _give(self, database: Database, tenant: Tenant, head: str, trace: str) -> bool:
        """Give a database that just became ready to a tenant that waits; say whether it took it."""
        control = self.control
        if tenant.status is not TenantStatus.PENDING or tenant.class_ != database.class_:
            return False
        if tenant.wants_restore:
            return False  # its own data comes, not an empty database
        as_ready = database.model_copy(update={"schema_version": head, "reason": None})
        _, changes = claim_changes(
            control, tenant, tenant, as_ready, why="waited longest", trace=trace
        )
        try:
            control.state.commit(*changes)
        except Conflict as conflict:
            if conflict.condition.startswith("tenant"):
                return False
            raise
        enqueue_quietly(control, "tenant", tenant.tenant_id, trace=trace)
        return True

    def _settled(self, message: Message) -> Outcome:
        """Do what there is to do for a database that is on its way nowhere."""
        database = self.control.state.database(message.id)
        if database is None:
            return Done()
        if database.status is DatabaseStatus.READY:
            return self._bring_to_head(database, message.trace)
        try:
            let_go(self.control, database, message.trace)
            free_slot(self.control, self.outside, database, message.trace)
        except Transient as error:
            log.info("a slot is not given back before the next sweep: %s", error)
        return Done()

    def _bring_to_head(self, database: Database, trace: str) -> Outcome:
        """Migrate a database of the pool that a newer push left behind; it stays claimable."""
        head = self.outside.head()
        if not isinstance(plan_database(database, head=head, migrated=None), Migrate):
            return Done()
        try:
            head = migrate_to_head(self.outside, database)
            after = database.changed(self.control.now(), schema_version=head)
            line = self.control.line("migrated", why=f"to {head}", trace=trace)
            self.control.state.commit(Change(database, after, line))
        except (Conflict, Transient) as error:
            log.info("a ready database stays behind until the next sweep: %s", error)
        except MigrationFailed as error:
            self._block(database, error.reason)
            return GaveUp(error.reason)
        return Done()

    # Giving up

    def _cut_off(self, database: Database, trace: str) -> Outcome:
        reason = "ten attempts were cut off: see the logs"
        again = database.status if database.status in MAKING else None
        retry_as = _RETRY_AS.get(database.status, again)
        if database.owner is not None:
            self._tell_once(database, "cut off", reason)
            database = self.control.state.database(database.ulid) or database
        return self._quarantine(database, reason, trace, retry_as=retry_as)

    def _refuse(self, begun: Database, database: Database, error: Permanent, trace: str) -> Outcome:
        if database.status is not begun.status:
            return Done()  # somebody else brought it further: this attempt is out of date
        return self._give_up(database, error, trace)

    def _give_up(self, database: Database, error: Permanent, trace: str) -> Outcome:
        making = database.status in {DatabaseStatus.CREATING, DatabaseStatus.MIGRATING}
        retry_as = _RETRY_AS.get(database.status)
        if making and database.owner is None:
            self._block(database, error.reason)
        if isinstance(error, BadToken | WrongAccount):
            # No fault of this database, and nothing was sent: it goes on with the next token.
            if database.owner is not None:
                self._tell_once(database, type(error).__name__, error.reason)
            refused = Transient(error.reason, retry_after=BAD_TOKEN_WAIT)
            current = self.control.state.database(database.ulid)
            return wait_after(self.control, current or database, refused)
        if database.owner is not None:
            self._tell_once(database, type(error).__name__, error.reason)
            database = self.control.state.database(database.ulid) or database
        return self._quarantine(database, error.reason, trace, retry_as=retry_as)

    def _tell_once(self, database: Database, what: str, reason: str) -> None:
        """Alert that a tenant's database can't go on, once for each `what`."""
        if (database.reason or "").startswith(f"{what}: "):
            return
        control, now = self.control, self.control.now()
        alert = alert_put(
            now,
            kind="database_held_up",
            severity="error",
            subject=f"{database.ulid}/{what}",
            summary=f"{database.name} of {database.owner} is {database.status}: {reason}",
            tenant_id=database.owner,
        )
        after = database.changed(now, reason=f"{what}: {reason}", failures=database.failures)
        try:
            control.state.commit(Change(database, after), also=[alert])
        except Conflict:
            log.info("%s was moved meanwhile, the next attempt alerts", database.name)
            return
        tell_now(control, alert)

    def _block(self, database: Database, reason: str) -> None:
        """Stop making databases of this class: the next one would fail in the same way."""
        control, now = self.control, self.control.now()
        if control.pools.blocked(database.class_) is not None:
            return
        log.error("the pool of class %s does not fill: %s", database.class_, reason)
        control.pools.block(database.class_, reason, now)
        alert = alert_put(
            now,
            kind="pool_blocked",
            severity="error",
            subject=database.class_,
            summary=f"the pool of class {database.class_} does not fill: {reason}",
        )
        control.state.table.write(alert)
        tell_now(control, alert)

    def _quarantine(
        self, database: Database, reason: str, trace: str, *, retry_as: DatabaseStatus | None
    ) -> Outcome:
        control = self.control
        after = database.moved(
            DatabaseStatus.QUARANTINED, control.now(), reason=reason, retry_as=retry_as
        )
        line = control.line("quarantined", why=reason, trace=trace)
        try:
            control.state.commit(Change(database, after, line))
        except Conflict:
            return wait(control, database, after=2, why="moved by somebody else meanwhile")
        return GaveUp(reason)

    def _somebody_waits(self, class_: str) -> bool:
        return bool(self._waiting(class_))

    def _waiting(self, class_: str) -> list[Tenant]:
        """Return tenants of a class that wait for a database, who waited longest first."""
        hints = self.control.state.tenants(TenantStatus.PENDING, limit=WAITING_SEEN)
        found = [tenant for tenant in hints if tenant.class_ == class_]
        return sorted(found, key=lambda tenant: tenant.status_since)
