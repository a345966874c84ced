"""What the emulator counts: calls by route, refusals, and the greatest number in any window."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import Any

__all__ = ["Stats"]


class Stats:
    """Count calls. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._calls: Counter[str] = Counter()
            self._limited = 0
            self._recent: deque[float] = deque()
            self._peak = 0

    def count(self, route: str, window: float) -> None:
        """Count a call that has arrived, whatever becomes of it."""
        with self._lock:
            now = self._clock()
            self._calls[route] += 1
            self._recent.append(now)
            while self._recent[0] <= now - window:
                self._recent.popleft()
            self._peak = max(self._peak, len(self._recent))

    def limit(self) -> None:
        """Count a call that the rate limit refused."""
        with self._lock:
            self._limited += 1

    def show(self) -> dict[str, Any]:
        """Return the counts as the control door shows them."""
        with self._lock:
            return {
                "calls": dict(sorted(self._calls.items())),
                "total": self._calls.total(),
                "rate_limited": self._limited,
                "peak_5min": self._peak,
            }
