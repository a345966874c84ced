"""Take back what a closing, or a pass that missed it, began with a database: its tenant stays."""

from typing import Final

from shared.aws.items import Change, HistoryLine, slot_update
from shared.aws.table import Write
from shared.domain.database import Database, DatabaseStatus
from shared.errors import Conflict
from shared.usecases.context import Control

__all__ = ["keep_database", "kept_database"]

_TURNED: Final = {"leaving": False, "live": False, "gone": False}


def keep_database(control: Control, database: Database, trace: str) -> None:
    """Have a leaving database claimed again, or on its way to being bound again.

    Raises:
        Conflict: the database or its shard was moved by somebody else meanwhile.
    """
    line = control.line("kept", why="the tenant stays", trace=trace)
    changes, turned = kept_database(control, database, line)
    control.state.commit(*changes, also=turned)
    if turned:
        control.queues.wake(database.shard, trace)


def kept_database(
    control: Control, database: Database, line: HistoryLine
) -> tuple[list[Change], list[Write]]:
    """Return what is to be written so that a database is its tenant's again; wake its shard then.

    The shard's publisher is made to publish whatever it last did: it may be sending a set without
    the database at this moment.

    Raises:
        Conflict: it lost its slot in the shard.
    """
    now = control.now()
    slot = control.state.slot(database.shard, database.ulid)
    if slot is None:
        raise Conflict("the database has its slot")
    kept = {"reason": None, "retry_as": None}
    if not slot.leaving:
        return [Change(database, database.moved(DatabaseStatus.CLAIMED, now, **kept), line)], []
    changes = [Change(database, database.moved(DatabaseStatus.REBINDING, now, **kept), line)]
    worker = control.state.worker(database.shard)
    if worker is not None:
        changes.append(Change(worker, worker.changed(now, published_hash="", reason=worker.reason)))
    turned = slot_update(
        database.shard,
        database.ulid,
        expected={"leaving": True},
        **_TURNED,
        generation=None,
        left_generation=None,
    )
    return changes, [turned]
