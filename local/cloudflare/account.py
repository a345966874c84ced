"""What an emulated account is: its id, its tokens, its limits, its time."""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

__all__ = ["ALL_GROUPS", "Account"]

ALL_GROUPS = frozenset(
    {"Account Settings Read", "D1 Write", "Pages Write", "Workers Scripts Write"}
)


@dataclass
class Account:
    """Hold what every part of the API shares. Everything but `lock` changes under the lock.

    `tokens` maps each API token to the permission groups it has; `subdomain` is the account's name
    on workers.dev, None while it has none; `databases` is how many D1 databases it may have.
    """

    account_id: str
    clock: Callable[[], float]
    tokens: dict[str, Collection[str]]
    subdomain: str | None = "d1fleet"
    databases: int = 50_000
    lock: threading.RLock = field(default_factory=threading.RLock)

    def now(self) -> str:
        """Return the time as the API writes it."""
        moment = datetime.fromtimestamp(self.clock(), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
