"""Write down that databases are served by the running shard, and wake them."""

from collections.abc import Sequence
from typing import Final

from shared.aws.items import Change, slot_put
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
        Conflict: one of them was being moved by somebody else; the next message does the rest.
    """
    by_ulid = {slot.ulid: slot for slot in slots}
    for start in range(0, len(ulids), TOGETHER):
        some = [by_ulid[ulid] for ulid in ulids[start : start + TOGETHER]]
        try:
            _move(control, script, some, trace)
        except Conflict:
            # One of them is being moved by somebody else: the others should not wait for it.
            for slot in some:
                _move(control, script, [slot], trace)
        enqueue_quietly(control, "database", *(slot.ulid for slot in some), trace=trace)
        # Last, so that whoever is killed before this does the rest again, messages included.
        live = [slot_put(script, slot.model_copy(update={"live": True})) for slot in some]
        control.state.commit(also=live)


def _move(control: Control, script: str, slots: Sequence[Slot], trace: str) -> None:
    changes: list[Change] = []
    for slot in slots:
        database = control.state.database(slot.ulid)
        if database is not None and database.status is DatabaseStatus.BINDING:
            after = database.moved(DatabaseStatus.MIGRATING, control.now())
            line = control.line("bound", why=f"served by {script}", trace=trace)
            changes.append(Change(database, after, line))
    if changes:
        control.state.commit(*changes)
