"""How one attempt at a piece of work ends. What SQS makes of it is the door's business."""

from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["Done", "GaveUp", "Outcome", "RetryLater"]


@dataclass(frozen=True)
class Done:
    """Nothing more to do for this message."""


@dataclass(frozen=True)
class RetryLater:
    """Come back in `after` seconds; `why` is for the log. The wait is already written down."""

    after: float
    why: str
    token: str | None = None


@dataclass(frozen=True)
class GaveUp:
    """A person must act; the reason is already stored where they will look for it."""

    reason: str


Outcome: TypeAlias = Done | RetryLater | GaveUp
