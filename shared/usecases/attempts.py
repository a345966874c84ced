"""One attempt at a tenant or a database: begun before acting, ended with an outcome written down.

An attempt that was killed leaves `attempts` raised; ten of them in a row and a person must look.
Waiting and failures of the other side are written down, so they never count towards that.
"""

import logging
import random
from datetime import timedelta
from typing import Any, Final

from shared.domain.lifecycle import Record
from shared.domain.outcomes import Done, Outcome, RetryLater
from shared.errors import NoPermit, OutcomeUnknown, Transient
from shared.usecases.context import Control, backoff

__all__ = ["MAX_ATTEMPTS", "MAX_CONFLICTS", "wait", "wait_after"]

MAX_ATTEMPTS: Final = 10
MAX_CONFLICTS: Final = 4
MOST_FOR_PERMIT: Final = 60.0

log = logging.getLogger("d1fleet")


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
