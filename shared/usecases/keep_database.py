"""Take back what a closing began with a database: its tenant stays."""

from typing import Final

from shared.aws.items import Change, slot_update
from shared.aws.table import Write
from shared.domain.database import Database, DatabaseStatus
from shared.errors import Conflict
from shared.usecases.context import Control

__all__ = ["keep_database"]

_TURNED: Final = {"leaving": False, "live": False, "gone": False}


def keep_database(control: Control, database: Database, trace: str) -> Database:
    """Have a leaving database claimed again, or on its way to being bound again.

    The shard's publisher is made to publish whatever it last did: it may be sending a set without
    the database at this moment.

    Raises:
        Conflict: the database or its shard was moved by somebody else meanwhile.
    """
    now = control.now()
    slot = control.state.slot(database.shard, database.ulid)
    if slot is None:
        raise Conflict("the database has its slot")
    line = control.line("kept", why="the tenant stays", trace=trace)
    kept = {"reason": None, "retry_as": None}
    if not slot.leaving:
        after = database.moved(DatabaseStatus.CLAIMED, now, **kept)
        control.state.commit(Change(database, after, line))
        return after
    after = database.moved(DatabaseStatus.REBINDING, now, **kept)
    turned: list[Write] = [
        slot_update(
            database.shard,
            database.ulid,
            expected={"leaving": True},
            **_TURNED,
            generation=None,
            left_generation=None,
        )
    ]
    changes = [Change(database, after, line)]
    worker = control.state.worker(database.shard)
    if worker is not None:
        changes.append(Change(worker, worker.changed(now, published_hash="", reason=worker.reason)))
    control.state.commit(*changes, also=turned)
    control.queues.wake(database.shard, trace)
    return after
