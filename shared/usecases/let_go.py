"""Set a restored copy aside that nobody waits for any more: it leaves its shard, and is kept.

Its tenant was closed, or got other data, while the copy was on its way; it would be bound for good.
Nothing is deleted: it is detached, `d1fleet tenants show` lists it, and a person may drop it.
"""

import logging
from collections.abc import Iterator
from typing import Final

from shared.aws.items import Change
from shared.domain.database import Database, DatabaseStatus
from shared.errors import Conflict
from shared.usecases.context import Control
from shared.usecases.give_back import NOBODY_WAITS
from shared.usecases.turn_out import turn_out

__all__ = ["let_go", "unwanted"]

_ON_ITS_WAY: Final = frozenset({DatabaseStatus.BINDING, DatabaseStatus.MIGRATING})
"""As what a whole copy may go on; one that was not loaded to its end is in nobody's shard."""

log = logging.getLogger("d1fleet")


def unwanted(control: Control, class_: str) -> Iterator[str]:
    """Yield the ULIDs of copies of a class that nobody waits for any more. It is a hint."""
    for hint in control.state.databases(class_, DatabaseStatus.QUARANTINED):
        if _is_unwanted(control, hint):
            yield hint.ulid


def let_go(control: Control, database: Database, trace: str) -> None:
    """Detach a quarantined copy that nobody waits for, and have it unbound; leave any other."""
    if not _is_unwanted(control, database):
        return
    before = "" if database.reason in {None, NOBODY_WAITS} else f"; before that: {database.reason}"
    reason = f"{NOBODY_WAITS}{before}"
    after = database.moved(DatabaseStatus.DETACHED, control.now(), reason=reason, retry_as=None)
    line = control.line("detached", why=reason, trace=trace)
    try:
        control.state.commit(Change(database, after, line), also=turn_out(control, database))
    except Conflict as conflict:
        log.info("%s was moved meanwhile: %s", database.name, conflict.condition)
        return
    control.queues.wake(database.shard, trace)


def _is_unwanted(control: Control, database: Database) -> bool:
    """Say whether a copy stopped on its way to a tenant that will never ask for it again.

    One that leaves may come back, and then its data is here: as long as it names the restore.
    """
    aside = database.status is DatabaseStatus.QUARANTINED and database.retry_as in _ON_ITS_WAY
    if not aside or database.owner is None:
        return False
    tenant = control.state.tenant(database.owner)
    if tenant is None:
        return True
    if tenant.restore_id is None:
        return tenant.database_ulid != database.ulid
    restore = control.state.restore(tenant.restore_id)
    others = restore is not None and restore.database_ulid != database.ulid
    return others and tenant.database_ulid != database.ulid
