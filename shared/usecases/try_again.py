"""Let a database go on that was set aside, from the step where it stopped."""

from typing import Final

from shared.aws.items import Change, HistoryLine, slot_update
from shared.aws.table import Write
from shared.domain.database import Database, DatabaseStatus
from shared.usecases.context import Control

__all__ = ["tried_again"]

_AWAITS_ITS_SHARD: Final = frozenset({DatabaseStatus.BINDING, DatabaseStatus.REBINDING})


def tried_again(
    control: Control, database: Database, to: DatabaseStatus, line: HistoryLine
) -> tuple[Change, list[Write]]:
    """Return what is to be written so that a quarantined database goes on as `to`; wake it then."""
    after = database.moved(to, control.now(), reason=None, retry_as=None)
    slot = control.state.slot(database.shard, database.ulid)
    if to not in _AWAITS_ITS_SHARD or slot is None or not slot.live:
        return Change(database, after, line), []
    # What was seen served while it was set aside is told once more: nobody moves it otherwise.
    anew = slot_update(database.shard, database.ulid, expected={"leaving": False}, live=False)
    return Change(database, after, line), [anew]
