"""Write down which databases the running shard serves, and which no more, and wake them."""

from collections.abc import Sequence
from typing import Final

from shared.aws.items import Change, slot_update
from shared.domain.database import DatabaseStatus
from shared.domain.worker import Slot
from shared.errors import Conflict
from shared.usecases.context import Control, enqueue_quietly

__all__ = ["mark_gone", "mark_live"]

TOGETHER: Final = 20
_NEXT: Final = {
    DatabaseStatus.BINDING: DatabaseStatus.MIGRATING,
    DatabaseStatus.REBINDING: DatabaseStatus.CLAIMED,
}


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
        read = {"leaving": False}
        live = [slot_update(script, slot.ulid, expected=read, live=True) for slot in some]
        control.state.commit(also=live)


def mark_gone(
    control: Control, script: str, slots: Sequence[Slot], ulids: Sequence[str], trace: str
) -> None:
    """Write down that a shard was seen without these databases, and wake who waits for that.

    Raises:
        Conflict: one of them is to be bound again; the next message sees that.
    """
    generations = {slot.ulid: slot.left_generation for slot in slots}
    for ulid in ulids:
        read = {"leaving": True, "left_generation": generations[ulid]}
        control.state.commit(also=[slot_update(script, ulid, expected=read, gone=True, live=False)])
        database = control.state.database(ulid)
        if database is None:
            continue
        if database.owner is not None:
            enqueue_quietly(control, "tenant", database.owner, trace=trace)
        elif database.status is DatabaseStatus.QUARANTINED:
            enqueue_quietly(control, "database", ulid, trace=trace)


def _move(control: Control, script: str, slots: Sequence[Slot], trace: str) -> None:
    changes: list[Change] = []
    for slot in slots:
        database = control.state.database(slot.ulid)
        if database is not None and (next_ := _NEXT.get(database.status)) is not None:
            after = database.moved(next_, control.now(), reason=None)
            line = control.line("bound", why=f"served by {script}", trace=trace)
            changes.append(Change(database, after, line))
    if changes:
        control.state.commit(*changes)
