"""What the Cloudflare client needs of others: a budget to take permits from."""

from datetime import datetime
from typing import Protocol

from shared.domain.budget import Lane

__all__ = ["Budget"]


class Budget(Protocol):
    """Give permits for calls, shared by everyone who uses the account."""

    def take(self, lane: Lane, n: int = 1) -> None:
        """Take `n` permits at once, or raise NoPermit."""

    def close(self, until: datetime, reason: str) -> None:
        """Give nobody a permit before `until`."""

    def observe(self, remaining: int, reset_seconds: int, quota: int | None = None) -> None:
        """Take note of how many calls Cloudflare says are left until its window's reset."""
