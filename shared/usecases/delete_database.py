"""Delete a database whose point of no return is passed, and close its tenant with it.

Only ever called for a record that says `deleting`. Two transactions write that: the one of
`tear_down` that has the proof, the breaker and the tenant's closing as its conditions, and an
operator's typed word for a copy that nobody uses.
"""

import logging
from dataclasses import dataclass
from typing import Final

from shared.aws.items import Change, slot_free
from shared.aws.pools import Pools
from shared.aws.table import Put, Write
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outcomes import Done, Outcome
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Permanent, Transient
from shared.usecases.close_tenant import close_changes
from shared.usecases.context import Control, deliver_now, enqueue_quietly
from shared.usecases.outside import Outside

__all__ = ["DeleteDatabase"]

BOUND_WAIT: Final = 60.0

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class DeleteDatabase:
    """Delete databases that are past the point of no return."""

    control: Control
    outside: Outside

    def __call__(self, database: Database, trace: str) -> Outcome:
        """Delete the database on D1, then write down that it is gone.

        Raises:
            Permanent: D1 has another database under its uuid; a person must look.
            Transient: it is still bound, or D1 does not answer.
            Conflict: the tenant was changed meanwhile: decide anew.
        """
        if database.status is not DatabaseStatus.DELETING:
            raise Permanent(f"{database.name} is {database.status}, not deleting")
        self.control.fleet.get()
        slot = self.control.state.slot(database.shard, database.ulid)
        if slot is not None and not slot.gone:
            self.control.queues.wake(database.shard, trace)
            raise Transient("its binding was not seen gone", retry_after=BOUND_WAIT)
        self._delete(database)
        return self._deleted(database, trace, has_slot=slot is not None)

    def _delete(self, database: Database) -> None:
        if database.database_id is None:
            return
        d1 = self.outside.cloudflare().on(Lane.TEARDOWN).d1
        found = d1.get(database.database_id)
        if found is None:
            return  # an earlier attempt died after it
        if found.name != database.name:
            raise Permanent(
                f"D1 has {found.name} under the uuid of {database.name}: nothing was deleted"
            )
        d1.delete(database.database_id)

    def _deleted(self, database: Database, trace: str, *, has_slot: bool) -> Outcome:
        control, now = self.control, self.control.now()
        after = database.moved(DatabaseStatus.DELETED, now)
        line = control.line("deleted", call="DELETE /d1/database", trace=trace)
        changes = [Change(database, after, line)]
        also: list[Write] = []
        event: Put | None = None
        if has_slot:
            also += [slot_free(database.shard, database.ulid), Pools.give_slot(database.shard)]
        tenant = self._leaving(database)
        if tenant is not None:
            change, event, receipt = close_changes(
                control, tenant, database, trace=trace, why=f"deleted {database.name}"
            )
            changes.append(change)
            also += [event, receipt]
        control.state.commit(*changes, also=also)
        if event is not None:
            deliver_now(control, event.item)
        if tenant is not None:
            enqueue_quietly(control, "tenant", tenant.tenant_id, trace=trace)
        return Done()

    def _leaving(self, database: Database) -> Tenant | None:
        """Return the tenant that leaves with this database; None if it came back meanwhile."""
        if database.owner is None:
            return None
        tenant = self.control.state.tenant(database.owner)
        if tenant is None or tenant.status is not TenantStatus.CLOSING:
            return None
        return tenant if tenant.database_ulid == database.ulid else None
