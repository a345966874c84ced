"""The one tree of errors that adapters raise and use cases understand.

ControlPlaneError
├── Transient            try again later: 5xx, timeouts, connection errors, contention
│   ├── NoPermit         the API budget says wait; nothing was sent
│   └── OutcomeUnknown   the call may have committed: look before doing it again
├── Permanent            a person must act; the reason says how
└── Conflict             a named condition did not hold: read again and decide anew

Anything else that is raised is a bug and is left to crash: the queue brings the message back, and
at last the dead letter queue shows it.
"""

__all__ = [
    "Conflict",
    "ControlPlaneError",
    "NoPermit",
    "OutcomeUnknown",
    "Permanent",
    "Transient",
]


class ControlPlaneError(Exception):
    """Stand for every error that the control plane expects."""


class Transient(ControlPlaneError):  # noqa: N818 - the tree reads as policy, not as "…Error"
    """Say that the same attempt may succeed later.

    `retry_after` is what the other side asked for, in seconds, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoPermit(Transient):
    """Say that the API budget gave no permit; nothing was sent."""


class OutcomeUnknown(Transient):
    """Say that the call may have taken effect although no answer came."""


class Permanent(ControlPlaneError):  # noqa: N818
    """Say that trying again is useless until a person acts; `reason` tells them what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Conflict(ControlPlaneError):  # noqa: N818
    """Say that a named condition of a write did not hold.

    `condition` is the name, e.g. "database is ready".
    """

    def __init__(self, condition: str) -> None:
        super().__init__(condition)
        self.condition = condition
