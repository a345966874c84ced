"""Have a database leave its shard, in the transaction that moves its record on."""

from shared.aws.items import slot_update
from shared.aws.table import Write
from shared.domain.database import Database
from shared.usecases.context import Control

__all__ = ["turn_out"]


def turn_out(control: Control, database: Database) -> list[Write]:
    """Return the write that has a database unbound, none if it is not bound or leaves already.

    Wake the shard's publisher after it is written.
    """
    slot = control.state.slot(database.shard, database.ulid)
    if slot is None or slot.leaving:
        return []
    return [
        slot_update(
            database.shard,
            database.ulid,
            expected={"leaving": False},
            leaving=True,
            gone=False,
            left_generation=None,
        )
    ]
