"""Cloudflare's limit of API calls: so many in a window; over it, a lock-out as long as that."""

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Limiter", "Verdict"]


@dataclass(frozen=True)
class Verdict:
    """Say whether a call may pass, and what its answer's headers tell the caller."""

    allowed: bool
    headers: tuple[tuple[str, str], ...]


class Limiter:
    """Count calls in a sliding window.

    The first call over the limit starts the lock-out: until it ends every call is refused, and
    refused calls do not prolong it.
    """

    def __init__(self, calls: int, window: float, clock: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._passed: deque[float] = deque()
        self._locked_until = -math.inf
        self.calls = calls
        self.window = window

    def set(self, calls: int, window: float) -> None:
        """Change the limit, and begin with an empty window."""
        with self._lock:
            self.calls, self.window = calls, window
            self._passed.clear()
            self._locked_until = -math.inf

    def ask(self) -> Verdict:
        """Count a call and judge it."""
        with self._lock:
            now = self._clock()
            while self._passed and self._passed[0] <= now - self.window:
                self._passed.popleft()
            if now < self._locked_until:
                return self._refuse(now)
            if len(self._passed) >= self.calls:
                self._locked_until = now + self.window
                return self._refuse(now)
            self._passed.append(now)
            reset = math.ceil(self._passed[0] + self.window - now)
            return Verdict(True, self._headers(self.calls - len(self._passed), reset))

    def _refuse(self, now: float) -> Verdict:
        wait = max(1, math.ceil(self._locked_until - now))
        return Verdict(False, (*self._headers(0, wait), ("Retry-After", str(wait))))

    def _headers(self, left: int, reset: int) -> tuple[tuple[str, str], ...]:
        return (
            ("Ratelimit", f'"default";r={left};t={reset}'),
            ("Ratelimit-Policy", f'"default";q={self.calls};w={math.ceil(self.window)}'),
        )
