"""One attempt at a piece of long work, a backup or a restore: begun alone, its end written down.

As in `attempts`, but busy: long work is never done twice at once, so whoever comes meanwhile is
sent away. A message that comes for what is settled has its news told again, in case that was cut
off.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from shared.aws.table import Item
from shared.cloudflare.errors import CloudflareConflict
from shared.domain.backup import Backup, Restore
from shared.domain.messages import Message
from shared.domain.outcomes import Done, Outcome
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.attempts import MAX_ATTEMPTS, wait_after
from shared.usecases.context import Control

__all__ = ["BUSY", "long_attempt"]

BUSY: Final = timedelta(minutes=16)
"""A little more than the function has: who began longer ago than this is dead."""
CUT_OFF: Final = (
    "ten attempts were cut off: see the logs of the function backup; a database that takes longer "
    "than its 15 minutes can't be done there"
)

R = TypeVar("R", Backup, Restore)

log = logging.getLogger("d1fleet")


def long_attempt(
    control: Control,
    message: Message,
    *,
    read: Callable[[Item], R],
    work: Callable[[R, str], Outcome],
    refuse: Callable[[R, str, str], Outcome],
    tell: Callable[[R, str], None],
) -> Outcome:
    """Let `work` make what can be made now of the record that a message names.

    `read` makes a record of an item, `refuse` writes down that a person must act and why, `tell`
    wakes who waits for a settled record. All but `read` get the message's trace last.
    """
    kind, trace = message.kind.upper(), message.trace

    def current() -> R | None:
        item = control.state.table.get(f"{kind}#{message.id}")
        return read(item) if item else None

    item = control.state.begin(kind, message.id, message.token, control.now(), busy=BUSY)
    if item is None:
        found = current()
        if found is not None and found.settled:
            tell(found, trace)
        return Done()
    record = read(item)
    try:
        if record.attempts <= MAX_ATTEMPTS:
            return work(record, trace)
        reason = CUT_OFF
    except Permanent as error:
        reason = error.reason
    except Transient as error:
        return wait_after(control, current() or record, error)
    except CloudflareConflict as error:
        return wait_after(control, current() or record, Transient(str(error)))
    except Conflict as conflict:
        log.info("somebody else was quicker: %s", conflict.condition)
        return wait_after(control, current() or record, Transient(conflict.condition))
    now_it_is = current()
    if now_it_is is None or now_it_is.settled:
        return Done()  # somebody else brought it further: this attempt is out of date
    try:
        return refuse(now_it_is, reason, trace)
    except Conflict as conflict:
        return wait_after(control, current() or record, Transient(conflict.condition))
