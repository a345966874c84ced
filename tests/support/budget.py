"""A budget for tests that are about something else."""

from datetime import datetime

from shared.domain.budget import Lane


class Free:
    """Give every permit: these tests are not about the budget."""

    def take(self, lane: Lane, n: int = 1) -> None:
        """Take note of nothing."""

    def close(self, until: datetime, reason: str) -> None:
        """Take note of nothing."""

    def observe(self, remaining: int, reset_seconds: int, quota: int | None = None) -> None:
        """Take note of nothing."""
