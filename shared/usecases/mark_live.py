"""Write down that databases are served by the running shard, and wake them."""

from collections.abc import Sequence
from typing import Final

from shared.aws.items import Change, slot_put
from shared.aws.table import Put
from shared.domain.database import DatabaseStatus
from shared.domain.worker import Slot
from shared.errors import Conflict
from shared.usecases.context import Control, enqueue_quietly

__all__ = ["mark_live"]

TOGETHER: Final = 20


def mark_live(
    control: Control, script: str, slots: Sequence[Slot], ulids: Sequence[str], trace: str
) -> None:
    """Move the databases that a shard serves now on, many in one transaction.

    Raises:
        Conflict: one of them was being moved by somebody else; the others are done.
    """
    by_ulid = {slot.ulid: slot for slot in slots}
    for start in range(0, len(ulids), TOGETHER):
        some = ulids[start : start + TOGETHER]
        try:
            _move(control, script, [by_ulid[ulid] for ulid in some], trace)
        except Conflict:
            # One of them is being moved by somebody else: the others should not wait for it.
            for ulid in some:
                _move(control, script, [by_ulid[ulid]], trace)
        enqueue_quietly(control, "database", *some, trace=trace)


def _move(control: Control, script: str, slots: Sequence[Slot], trace: str) -> None:
    changes: list[Change] = []
    also: list[Put] = []
    for slot in slots:
        database = control.state.database(slot.ulid)
        also.append(slot_put(script, slot.model_copy(update={"live": True})))
        if database is not None and database.status is DatabaseStatus.BINDING:
            after = database.moved(DatabaseStatus.MIGRATING, control.now())
            line = control.line("bound", why=f"served by {script}", trace=trace)
            changes.append(Change(database, after, line))
    control.state.commit(*changes, also=also)
