"""The database: one D1 of the fleet. It precedes its tenant and can outlive it.

::

    creating ─▶ binding ─▶ migrating ─▶ ready ─▶ claimed ─▶ exporting ─▶ unbinding ─▶ deleting
                               │                  ▲   ▲                   │              │
                               └─ (oldest pending ┘   └── rebinding ◀─────┘              ▼
                                   tenant)                 (resumed)                  deleted

    importing ─▶ binding (a restore's, born owned)      importing ─▶ detached (to look at)
    claimed ─▶ detached (replaced by a restore)         detached ─▶ deleting (an operator's word)

`quarantined`, from anywhere: an operator must look. A database that was ever a tenant's never
becomes `ready` again: `owner` stays with it for good. `retry_as` says as what a quarantined one may
go on by itself once the cause is mended; without it only an operator decides, except about one that
is nobody's and gone from D1: its record ends as `deleted`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import Field

from shared.domain.lifecycle import BadTransition, Record
from shared.domain.names import binding_name

__all__ = ["MAKING", "UNSETTLED_DATABASE", "Database", "DatabaseStatus"]


class DatabaseStatus(StrEnum):
    """Name what a database is."""

    CREATING = "creating"
    IMPORTING = "importing"
    BINDING = "binding"
    MIGRATING = "migrating"
    READY = "ready"
    CLAIMED = "claimed"
    DETACHED = "detached"
    EXPORTING = "exporting"
    UNBINDING = "unbinding"
    REBINDING = "rebinding"
    DELETING = "deleting"
    DELETED = "deleted"
    QUARANTINED = "quarantined"


_S = DatabaseStatus
_NEXT: Final = {
    _S.CREATING: frozenset({_S.BINDING, _S.DELETED, _S.QUARANTINED}),
    _S.IMPORTING: frozenset({_S.BINDING, _S.DETACHED, _S.QUARANTINED}),
    _S.BINDING: frozenset({_S.MIGRATING, _S.QUARANTINED}),
    _S.MIGRATING: frozenset({_S.READY, _S.CLAIMED, _S.QUARANTINED}),
    _S.READY: frozenset({_S.CLAIMED, _S.QUARANTINED}),
    _S.CLAIMED: frozenset({_S.EXPORTING, _S.UNBINDING, _S.DETACHED, _S.QUARANTINED}),
    _S.DETACHED: frozenset({_S.DELETING, _S.QUARANTINED}),
    _S.EXPORTING: frozenset({_S.CLAIMED, _S.UNBINDING, _S.QUARANTINED}),
    _S.UNBINDING: frozenset({_S.REBINDING, _S.DELETING, _S.QUARANTINED}),
    _S.REBINDING: frozenset({_S.CLAIMED, _S.QUARANTINED}),
    _S.DELETING: frozenset({_S.DELETED, _S.QUARANTINED}),
    _S.DELETED: frozenset[DatabaseStatus](),
    _S.QUARANTINED: frozenset(
        {
            _S.CREATING,
            _S.IMPORTING,
            _S.BINDING,
            _S.MIGRATING,
            _S.CLAIMED,
            _S.DETACHED,
            _S.EXPORTING,
            _S.UNBINDING,
            _S.REBINDING,
            _S.DELETED,
        }
    ),
}

MAKING: Final = (_S.CREATING, _S.BINDING, _S.MIGRATING)
"""Statuses of a database that is being made for the pool, in order."""

UNSETTLED_DATABASE: Final = frozenset({*MAKING, _S.REBINDING, _S.DELETING})
"""Statuses in which something is on its way: the sweep looks after them.

What leaves (`exporting`, `unbinding`) is its closing tenant's to move, what is imported its
restore's: they are looked after instead.
"""


class Database(Record):
    """Hold what is known of one database.

    `database_id` is D1's uuid, unknown until D1 has answered. `uncertain` says that a create may
    have committed although no answer came: the name is looked up before anything is sent again.
    """

    ulid: str
    name: str
    status: DatabaseStatus
    class_: Annotated[str, Field(alias="class")]
    shard: str
    database_id: str | None = None
    schema_version: str = ""
    tenant_id: str | None = None
    owner: str | None = None
    uncertain: bool = False
    retry_as: DatabaseStatus | None = None

    @property
    def binding(self) -> str:
        """Return the name by which its shard sees it."""
        return binding_name(self.ulid)

    def moved(self, to: DatabaseStatus, now: datetime, **changes: Any) -> "Database":
        """Return the database in its next status.

        Raises:
            BadTransition: the lifecycle has no such step, or it would put a tenant's database
                back into the pool or give it to somebody else.
        """
        return self._moved(to, now, _NEXT, changes)

    def changed(self, now: datetime, **changes: Any) -> Self:
        """Return the next version of the record.

        Raises:
            BadTransition: a database that was ever a tenant's would change hands or be ready, or be
                called deleted without what must be proven before.
        """
        after = super().changed(now, **changes)
        if after.owner is not None and after.status is DatabaseStatus.READY:
            raise BadTransition("a database that was ever a tenant's never becomes ready again")
        if self.owner is not None and after.owner != self.owner:
            raise BadTransition("a database that was ever a tenant's is nobody else's")
        proven = self.status in {DatabaseStatus.DELETING, DatabaseStatus.DELETED}
        if self.owner is not None and after.status is DatabaseStatus.DELETED and not proven:
            raise BadTransition("a tenant's database is deleted by way of deleting alone")
        return after
