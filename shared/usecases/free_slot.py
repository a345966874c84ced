"""Give the slot of a database back that is gone from D1: a shard must not fill up with ghosts.

A database of the pool that somebody deleted is quarantined and leaves its shard. Once a publish
without its binding was seen live, nothing is left of it but a record and a slot that counts.
Nothing is deleted here: what D1 still has keeps both.
"""

import logging
from collections.abc import Iterator

from shared.aws.items import Change, slot_free
from shared.aws.pools import Pools
from shared.aws.table import Write
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.worker import Slot
from shared.errors import Conflict
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["free_slot", "ghosts"]

log = logging.getLogger("d1fleet")


def ghosts(control: Control, class_: str) -> Iterator[str]:
    """Yield the ULIDs of databases of a class that may be gone, and their bindings with them."""
    for hint in control.state.databases(class_, DatabaseStatus.QUARANTINED):
        if _left_slot(control, hint) is not None:
            yield hint.ulid


def free_slot(control: Control, outside: Outside, database: Database, trace: str) -> None:
    """Write down of a quarantined database that it is deleted, if it is gone.

    One that was ever a tenant's is left to people.

    Raises:
        Transient: D1 can't be asked now, or the table does not answer.
    """
    slot = _left_slot(control, database)
    if slot is None or database.database_id is None:
        return
    if outside.cloudflare().on(Lane.REPAIR).d1.get(database.database_id) is not None:
        return
    after = database.moved(DatabaseStatus.DELETED, control.now())
    line = control.line("deleted", why="it was gone from D1, and is unbound", trace=trace)
    also: list[Write] = [slot_free(database.shard, database.ulid)]
    if slot.database_id is not None:  # else it was only made to have a strange binding dropped
        also.append(Pools.give_slot(database.shard))
    try:
        control.state.commit(Change(database, after, line), also=also)
    except Conflict as conflict:
        log.info("%s was moved meanwhile: %s", database.name, conflict.condition)


def _left_slot(control: Control, database: Database) -> Slot | None:
    """Return the slot of a database that is nobody's and was seen unbound, else None."""
    aside = database.status is DatabaseStatus.QUARANTINED and database.retry_as is None
    if not aside or database.owner is not None:
        return None
    slot = control.state.slot(database.shard, database.ulid)
    return slot if slot is not None and slot.gone else None
