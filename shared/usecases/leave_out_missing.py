"""Leave databases that D1 does not have out of a publish: one would fail the whole shard."""

from collections.abc import Sequence
from typing import Final

from shared.aws.items import Change, slot_update
from shared.aws.table import Write
from shared.domain.budget import Lane
from shared.domain.database import DatabaseStatus
from shared.domain.worker import Slot
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.outside import Outside

__all__ = ["leave_out_missing"]

_GONE: Final = frozenset(
    {DatabaseStatus.QUARANTINED, DatabaseStatus.DELETING, DatabaseStatus.DELETED}
)


def leave_out_missing(
    control: Control,
    outside: Outside,
    script: str,
    slots: Sequence[Slot],
    message: str,
    trace: str,
) -> None:
    """Find which of a shard's databases D1 refused, and leave it out from now on.

    `message` is Cloudflare's, which names the uuid; if it names none, those never seen live are
    asked for. One that is there after all is only new, and is tried again. The pool makes another
    one for its own.
    """
    named = [slot for slot in slots if slot.database_id and slot.database_id in message]
    fresh = [slot for slot in slots if slot.database_id and not slot.live]
    d1 = outside.cloudflare().on(Lane.REPAIR).d1
    for slot in named or fresh:
        if slot.database_id is not None and d1.get(slot.database_id) is None:
            _leave_out(control, script, slot, trace)


def _leave_out(control: Control, script: str, slot: Slot, trace: str) -> None:
    now = control.now()
    database = control.state.database(slot.ulid)
    also: list[Write] = [slot_update(script, slot.ulid, expected={}, leaving=True)]
    if database is None or database.status in _GONE:
        control.state.commit(also=also)
        return
    reason = "D1 says that this database does not exist"
    after = database.moved(DatabaseStatus.QUARANTINED, now, reason=reason)
    if database.owner is not None:
        also.append(
            alert_put(
                now,
                kind="database_missing",
                severity="critical",
                subject=database.ulid,
                summary=f"the database {database.name} of a tenant is gone: restore it",
                tenant_id=database.owner,
            )
        )
    line = control.line("quarantined", why=reason)
    control.state.commit(Change(database, after, line), also=also)
    if database.owner is None:
        enqueue_quietly(control, "pool", database.class_, trace=trace)
