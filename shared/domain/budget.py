"""The arithmetic of the API budget: how many calls may go to Cloudflare, and whose turn it is.

Cloudflare counts the calls of a whole account user in a window and, above its limit, refuses all of
them for minutes. The budget is a bucket of tokens shared by every function (GCRA, the generic cell
rate algorithm): it holds `burst` tokens and gains one every `interval` microseconds, so that in any
window no more than `burst + window / interval` calls get a permit, which is at most the share of
the limit that we allow ourselves.

The whole bucket is one number, the instant at which it will be full again::

    now                 full_at                             now + burst * interval
     ├─────────────────────┼───────────────────────────────────────────┤
       tokens that are out            tokens that are left
                           ├──── what a lane may take ────┤── reserve ─┤  of the lanes above it

It only ever moves to the right, so a refusal is never wrong later for having been read early.
Times are microseconds since the epoch and all arithmetic is on integers: what is compared in
DynamoDB is what is computed here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import Final, Self, TypeAlias

__all__ = [
    "FRESH",
    "AddTo",
    "BudgetLimits",
    "BudgetReport",
    "BudgetState",
    "Decision",
    "Lane",
    "LaneReport",
    "Refuse",
    "StartAt",
    "decide",
    "from_micros",
    "lowered_full_at",
    "report",
    "to_micros",
    "tokens_left",
]

SECOND: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Lane(StrEnum):
    """Name what a call is for, most urgent first."""

    SIGNUP = "signup"
    TEARDOWN = "teardown"
    REPAIR = "repair"
    MIGRATION = "migration"
    REFILL = "refill"


_KEPT_FOR_HIGHER: Final = {
    Lane.SIGNUP: Fraction(0),
    Lane.TEARDOWN: Fraction(1, 10),
    Lane.REPAIR: Fraction(2, 10),
    Lane.MIGRATION: Fraction(35, 100),
    Lane.REFILL: Fraction(5, 10),
}
"""The part of the bucket that a lane leaves to the lanes above it."""


def to_micros(moment: datetime) -> int:
    """Return an aware instant as microseconds since the epoch, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the instant that is so many microseconds after the epoch, in UTC."""
    return _EPOCH + micros * _MICROSECOND


@dataclass(frozen=True)
class BudgetLimits:
    """Hold the bucket's size and pace; make one with `of`.

    `limit` and `window` (microseconds) are Cloudflare's, `allowed` is our share of the limit;
    `burst + window / interval <= allowed` always holds.
    """

    limit: int
    window: int
    allowed: int
    burst: int
    interval: int

    @classmethod
    def of(cls, limit: int, window_seconds: int, share: float) -> Self:
        """Divide our share of a limit into a bucket and its pace.

        A quarter may go at once, the rest comes evenly over the window.

        Raises:
            ValueError: the share leaves fewer than two calls a window.
        """
        allowed = int(limit * Fraction(str(share)))
        if allowed < 2:
            raise ValueError(
                f"API_SHARE {share} of API_LIMIT {limit} leaves {max(allowed, 0)} calls a window: "
                "two are the least that work"
            )
        burst = max(1, allowed // 4)
        window = window_seconds * SECOND
        interval = -(-window // (allowed - burst))
        return cls(limit=limit, window=window, allowed=allowed, burst=burst, interval=interval)

    def reserve(self, lane: Lane) -> int:
        """Return how many tokens this lane must leave to the lanes above it."""
        part = self.burst * _KEPT_FOR_HIGHER[lane]
        return min(self.burst - 1, -(-part.numerator // part.denominator))

    def most(self, lane: Lane) -> int:
        """Return how many tokens this lane can ever take at once, at least one."""
        return self.burst - self.reserve(lane)

    def quota_share(self, quota: int) -> int:
        """Return our share of another quota, cut as ours is."""
        return quota * self.allowed // self.limit


@dataclass(frozen=True)
class BudgetState:
    """Hold what is stored of the bucket. Both times are microseconds since the epoch."""

    full_at: int = 0
    closed_until: int = 0
    closed_by: str = ""


FRESH: Final = BudgetState()
"""The state of a budget that nobody has used yet: full and open."""


@dataclass(frozen=True)
class StartAt:
    """The bucket is full: put `full_at` there, if nobody has taken a token meanwhile."""

    full_at: int


@dataclass(frozen=True)
class AddTo:
    """The bucket is in use: add `amount` to `full_at`, if that is still no more than `at_most`."""

    amount: int
    at_most: int


@dataclass(frozen=True)
class Refuse:
    """There is no permit before `wait` microseconds have passed; `why` is for people."""

    wait: int
    why: str


Decision: TypeAlias = StartAt | AddTo | Refuse


def decide(limits: BudgetLimits, state: BudgetState, lane: Lane, n: int, now: int) -> Decision:
    """Say how `n` tokens are taken by a lane from the bucket as it was last seen.

    Raises:
        ValueError: the lane can never take so many at once.
    """
    if not 1 <= n <= limits.most(lane):
        raise ValueError(f"{n} calls at once: lane {lane} can take 1 to {limits.most(lane)}")
    if now < state.closed_until:
        return Refuse(state.closed_until - now, state.closed_by or "closed")
    if state.full_at < now:
        return StartAt(now + n * limits.interval)
    at_most = now + (limits.most(lane) - n) * limits.interval
    if state.full_at > at_most:
        return Refuse(state.full_at - at_most, f"lane {lane} has no tokens left")
    return AddTo(n * limits.interval, at_most)


def tokens_left(limits: BudgetLimits, state: BudgetState, lane: Lane, now: int) -> int:
    """Return how many calls a lane could make at this instant."""
    if now < state.closed_until:
        return 0
    room = now + limits.most(lane) * limits.interval - max(now, state.full_at)
    return max(0, room // limits.interval)


def lowered_full_at(
    limits: BudgetLimits, *, remaining: int, reset: int, quota: int | None, now: int
) -> int:
    """Return what `full_at` must at least be, given what Cloudflare says is left.

    `remaining` calls are left for the next `reset` microseconds, out of `quota` if it said so. What
    the bucket holds now and gains until then must not be more than that, less the part of the quota
    which is not ours. If nobody else uses the account's limit this never lowers anything, because
    our own calls of that window fit our share.
    """
    kept = 0 if quota is None else quota - limits.quota_share(quota)
    ours = max(0, remaining - kept)
    span = min(max(0, reset), limits.window)
    return now + (limits.burst - ours) * limits.interval + span


@dataclass(frozen=True)
class LaneReport:
    """Say how a lane stands: calls it could make now, the most it ever could, all it ever made."""

    lane: Lane
    left: int
    most: int
    used: int


@dataclass(frozen=True)
class BudgetReport:
    """Say how the budget stands, for people.

    `closed_until` is None while it is open; `closed_by` says what closed it last. `allowed` calls
    in `window_seconds` are our share of Cloudflare's `limit`.
    """

    limit: int
    window_seconds: int
    allowed: int
    closed_until: datetime | None
    closed_by: str
    lanes: tuple[LaneReport, ...]


def report(
    limits: BudgetLimits, state: BudgetState, used: Mapping[Lane, int], now: int
) -> BudgetReport:
    """Put a state into words for people."""
    return BudgetReport(
        limit=limits.limit,
        window_seconds=limits.window // SECOND,
        allowed=limits.allowed,
        closed_until=from_micros(state.closed_until) if now < state.closed_until else None,
        closed_by=state.closed_by,
        lanes=tuple(
            LaneReport(
                lane=lane,
                left=tokens_left(limits, state, lane, now),
                most=limits.most(lane),
                used=used.get(lane, 0),
            )
            for lane in Lane
        ),
    )
