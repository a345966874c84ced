"""One attempt at a tenant or a database: begun before acting, ended with an outcome written down.

An attempt that was killed leaves `attempts` raised; ten of them in a row and a person must look.
Waiting and failures of the other side are written down, so they never count towards that.
"""

import logging
import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from shared.aws.table import Item
from shared.cloudflare.errors import CloudflareConflict
from shared.domain.database import Database
from shared.domain.lifecycle import Record
from shared.domain.messages import Message
from shared.domain.outcomes import Done, Outcome, RetryLater
from shared.domain.tenant import Tenant
from shared.errors import Conflict, NoPermit, OutcomeUnknown, Permanent, Transient
from shared.usecases.context import Control, backoff

__all__ = ["MAX_ATTEMPTS", "attempt", "wait", "wait_after"]

MAX_ATTEMPTS: Final = 10
MAX_CONFLICTS: Final = 4
MOST_FOR_PERMIT: Final = 60.0

R = TypeVar("R", Tenant, Database)

log = logging.getLogger("d1fleet")


def attempt(
    control: Control,
    message: Message,
    *,
    key: str,
    read: Callable[[Item], R],
    work: Callable[[R], Outcome],
    cut_off: Callable[[R], Outcome],
    refuse: Callable[[R, R, Permanent], Outcome],
    settled: Callable[[], Outcome],
) -> Outcome:
    """Let `work` do what can be done now for the record that a message names.

    Where somebody else was quicker, all is read and decided anew: some times at once, then later.
    `key` and `read` find the record and make it of an item. `cut_off` ends what was killed ten
    times, `refuse` what a person must mend: it gets the record as the attempt began and as it is
    now. `settled` answers a message for what is on its way nowhere, or was moved on by another.
    """

    def current(begun: R) -> R:
        item = control.state.table.get(f"{key}#{message.id}")
        return read(item) if item else begun

    conflicts = 0
    while True:
        item = control.state.begin(key, message.id, message.token, control.now())
        if item is None:
            return settled()
        record = read(item)
        if record.attempts > MAX_ATTEMPTS:
            return cut_off(record)
        try:
            return work(record)
        except CloudflareConflict as error:
            return wait_after(control, current(record), Transient(str(error)))
        except Conflict as conflict:
            log.info("somebody else was quicker: %s", conflict.condition)
            conflicts += 1
            if conflicts == MAX_CONFLICTS:
                return wait_after(control, record, Transient(conflict.condition))
        except Transient as error:
            return wait_after(control, current(record), error)
        except Permanent as error:
            return refuse(record, current(record), error)


def wait(
    control: Control, record: Record, *, after: float, why: str, failures: int = 0, **fields: Any
) -> Outcome:
    """Write down that the attempt waits, and return so."""
    wake_at = control.now() + timedelta(seconds=after)
    token = control.state.postpone(record, wake_at=wake_at, failures=failures, **fields)
    if token is None:
        log.info("moved by somebody else meanwhile: %s", why)
        return Done()
    return RetryLater(after, why, token)


def wait_after(control: Control, record: Record, error: Transient) -> Outcome:
    """Write down that the attempt failed in a way that passes, and return so."""
    failures = record.failures + 1
    fields = {"uncertain": True} if isinstance(error, OutcomeUnknown) else {}
    after = backoff(failures, error.retry_after)
    if isinstance(error, NoPermit):
        after = max(min(after, MOST_FOR_PERMIT), error.retry_after or 0)
    # Spread: hundreds that were refused together must not come back together.
    after *= 1 + random.random() / 2
    return wait(control, record, after=after, why=str(error), failures=failures, **fields)
