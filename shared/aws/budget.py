"""The API budget in DynamoDB: one item that every function takes its permits from.

Nothing here reads before it writes. A take is one of two conditional updates, chosen from what this
process saw last::

                 now                      now + room of the lane
    ──────────────┼───────────────────────────────┼──────────────────▶ time
     full_at here:│  full_at here:                │  full_at here:
     IDLE         │  IN USE, ROOM LEFT            │  refused: come back when it has
     set it to    │  add n intervals to it        │  moved to the left of this edge
     now + n      │                               │
     intervals    │                               │

and each is guarded by OPEN as well: nobody closed the budget. When a condition fails somebody else
was quicker; the item is read and the choice made anew. Two takes of the same tokens are impossible,
because each one's condition is judged on what the other left.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from shared.aws.table import Condition, Table, Update
from shared.domain.budget import (
    FRESH,
    AddTo,
    BudgetLimits,
    BudgetReport,
    BudgetState,
    Lane,
    Refuse,
    StartAt,
    decide,
    lowered_full_at,
    report,
    to_micros,
)
from shared.errors import Conflict, NoPermit, Permanent, Transient

__all__ = ["DynamoBudget"]

KEY: Final = {"pk": "BUDGET", "sk": "META"}
TRIES: Final = 6
MICROSECONDS: Final = 1_000_000


class DynamoBudget:
    """Give permits for calls to Cloudflare, shared by every process that uses the same table.

    Every method raises `Transient` when DynamoDB does not answer: without a permit nothing is sent.
    """

    def __init__(self, table: Table, limits: BudgetLimits, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._limits = limits
        self._clock = clock
        # A hint that saves calls, never the truth. The stored times only move forward, so that
        # what was full or closed when last seen still is.
        self._seen = FRESH

    def take(self, lane: Lane, n: int = 1) -> None:
        """Take `n` permits at once, or none.

        Raises:
            NoPermit: come back in `retry_after` seconds.
            Permanent: the lane can never have so many at once.
            Transient: DynamoDB does not answer, or too many others were quicker.
        """
        if n > self._limits.most(lane):
            raise Permanent(
                f"{n} calls at once never fit lane {lane}, which can take "
                f"{self._limits.most(lane)}: raise API_LIMIT or API_SHARE"
            )
        for _ in range(TRIES):
            now = to_micros(self._clock())
            decision = decide(self._limits, self._seen, lane, n, now)
            if isinstance(decision, Refuse):
                raise NoPermit(
                    f"no permit in the API budget: {decision.why}",
                    retry_after=decision.wait / MICROSECONDS,
                )
            try:
                item = self._table.write(_taking(decision, lane, n, now))
            except Conflict:
                item = self._table.get(**KEY)
                self._seen = _state(item)
            else:
                self._seen = _state(item)
                return
        raise Transient("the API budget is contended", retry_after=1)

    def close(self, until: datetime, reason: str) -> None:
        """Give nobody a permit before `until`; `reason` is for people. It is never shortened."""
        later = Condition(
            "the budget is not closed for longer already",
            "attribute_not_exists(closed_until) OR closed_until < :until",
        )
        try:
            item = self._table.write(
                Update(
                    KEY,
                    "SET closed_until = :until, closed_by = :reason",
                    values={":until": to_micros(until), ":reason": reason},
                    condition=later,
                )
            )
        except Conflict:
            item = self._table.get(**KEY)
        self._seen = _state(item)

    def observe(self, remaining: int, reset_seconds: int, quota: int | None = None) -> None:
        """Take note of what Cloudflare says is left, and lower the budget if that is less.

        Costs a call to DynamoDB only when it does: others are using the same account's limit.
        """
        full_at = lowered_full_at(
            self._limits,
            remaining=remaining,
            reset=reset_seconds * MICROSECONDS,
            quota=quota,
            now=to_micros(self._clock()),
        )
        if full_at <= self._seen.full_at:
            return
        fuller = Condition(
            "the budget holds more than Cloudflare says is left",
            "attribute_not_exists(full_at) OR full_at < :full_at",
        )
        try:
            item = self._table.write(
                Update(
                    KEY,
                    "SET full_at = :full_at",
                    values={":full_at": full_at},
                    condition=fuller,
                )
            )
        except Conflict:
            item = self._table.get(**KEY)
        self._seen = _state(item)

    def state(self) -> BudgetReport:
        """Return how the budget stands, read consistently."""
        item = self._table.get(**KEY) or {}
        used = {lane: int(item.get(_counter(lane), 0)) for lane in Lane}
        return report(self._limits, _state(item), used, to_micros(self._clock()))


def _counter(lane: Lane) -> str:
    return f"used_{lane}"


def _taking(decision: StartAt | AddTo, lane: Lane, n: int, now: int) -> Update:
    """Return the update that takes what was decided, guarded by what it was decided on."""
    is_open = "(attribute_not_exists(closed_until) OR closed_until <= :now)"
    values: dict[str, Any] = {":now": now, ":n": n}
    if isinstance(decision, StartAt):
        values[":full_at"] = decision.full_at
        change = "SET full_at = :full_at"
        condition = Condition(
            "the budget is open and idle",
            f"{is_open} AND (attribute_not_exists(full_at) OR full_at < :now)",
        )
    else:
        values |= {":amount": decision.amount, ":at_most": decision.at_most}
        change = "SET full_at = full_at + :amount"
        condition = Condition(
            "the budget is open and has room for this lane",
            f"{is_open} AND full_at BETWEEN :now AND :at_most",
        )
    return Update(
        KEY,
        f"{change} ADD #used :n",
        names={"#used": _counter(lane)},
        values=values,
        condition=condition,
    )


def _state(item: dict[str, Any] | None) -> BudgetState:
    item = item or {}
    return BudgetState(
        full_at=int(item.get("full_at", 0)),
        closed_until=int(item.get("closed_until", 0)),
        closed_by=str(item.get("closed_by", "")),
    )
