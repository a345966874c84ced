"""Ask for the pools to be filled now, whatever stopped them. Called by operators, and by pushes."""

from collections.abc import Sequence
from typing import Final

from shared.domain.database import DatabaseStatus
from shared.errors import Permanent
from shared.usecases.context import Control

__all__ = ["fill_pools", "wake_pools"]

AT_ONCE: Final = 500


def fill_pools(control: Control, classes: Sequence[str], trace: str) -> tuple[str, ...]:
    """Wake the refill of some classes, or of all; return which. What blocked them is tried again.

    Raises:
        Permanent: the fleet has no such class.
        Transient: the table or the queue does not answer.
    """
    known = control.settings.database_classes
    for class_ in classes:
        if class_ not in known:
            raise Permanent(f"this fleet has no class {class_}: it has {', '.join(known)}")
    asked = tuple(classes) or known
    for class_ in asked:
        control.pools.unblock(class_)
        control.enqueue("database", *_waiting(control, class_), trace=trace)
    control.enqueue("pool", *asked, trace=trace)
    return asked


def _waiting(control: Control, class_: str) -> list[str]:
    """Return databases of a class that wait after a failure: what it was may be mended by now.

    A refill counts them as being made, so that nobody would get another one meanwhile.
    """
    now = control.now()
    return [
        database.ulid
        for status in (DatabaseStatus.CREATING, DatabaseStatus.MIGRATING)
        for database in control.state.databases(class_, status, limit=AT_ONCE)
        if database.failures > 0 and database.wake_at is not None and database.wake_at > now
    ]


def wake_pools(control: Control, trace: str) -> None:
    """Let the pools follow a push: ready databases are migrated, new ones made.

    The sweep finds what is more than these, and what is lost.
    """
    for class_ in control.settings.database_classes:
        ready = control.state.databases(class_, DatabaseStatus.READY, limit=AT_ONCE)
        control.enqueue("database", *[database.ulid for database in ready], trace=trace)
    fill_pools(control, (), trace)
