"""How the breaker of deletes stands, for the operator who lets them go on. Reads only."""

from dataclasses import dataclass
from datetime import datetime

from shared.usecases.brakes import MOST_COUNTED, due_deletes, usual_deletes
from shared.usecases.context import Control

__all__ = ["BreakerReport", "breaker_report"]


@dataclass(frozen=True)
class BreakerReport:
    """Say whether deletes are stopped and why; `done`, `due` and `most` are of 24 hours.

    `allowed_until` is set while what a person confirmed counts.
    """

    open: bool
    reason: str | None
    opened_at: datetime | None
    done: int
    due: int
    most: int
    allowed_until: datetime | None


def breaker_report(control: Control) -> BreakerReport:
    """Return how the breaker stands now. What is due comes from an index that lags a little."""
    breaker, now = control.breaker.read(), control.now()
    until = breaker.allowed_until
    return BreakerReport(
        open=breaker.is_open,
        reason=breaker.reason,
        opened_at=breaker.opened_at,
        done=breaker.recent(now),
        due=due_deletes(control, most=MOST_COUNTED),
        most=breaker.most(usual_deletes(control), now),
        allowed_until=until if until is not None and now < until else None,
    )
