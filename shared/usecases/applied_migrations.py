"""Which migrations any database may have: asked before a push rewrites what was pushed.

What a database's record says is believed when nobody works on it. One that is on its way to the
head, or was stopped there, may have a file that its record does not name yet: its ledger is asked.
"""

from collections.abc import Iterator
from typing import Final

from shared.domain.database import Database, DatabaseStatus
from shared.domain.migrations import LEDGER, Head
from shared.domain.tenant import TenantStatus
from shared.errors import Permanent, Transient
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["MOST_ASKED", "applied_names"]

MOST_ASKED: Final = 500

_WITHOUT_ANY: Final = frozenset(
    {DatabaseStatus.CREATING, DatabaseStatus.BINDING, DatabaseStatus.DELETED}
)
_ON_THE_WAY: Final = frozenset(
    {DatabaseStatus.MIGRATING, DatabaseStatus.READY, DatabaseStatus.QUARANTINED}
)


def applied_names(control: Control, outside: Outside, head: Head) -> frozenset[str]:
    """Return the names of the head's files that any database may have.

    Raises:
        Permanent: too many ledgers would have to be read, or one can't be: nobody knows.
    """
    names = [entry.name for entry in head.files]
    found: set[str] = set()
    asked = 0
    moving = frozenset(_of_moving_tenants(control))
    for database in _databases(control):
        if database.schema_version in names:
            found.update(names[: names.index(database.schema_version) + 1])
        elif database.schema_version:
            found.update(names)  # a version that the head does not know: anything may be there
        if found.issuperset(names):
            break
        behind = database.schema_version != head.schema_version
        on_the_way = database.status in _ON_THE_WAY or database.ulid in moving
        if behind and on_the_way and _is_bound(control, database):
            if asked == MOST_ASKED:
                raise Permanent(
                    f"more than {MOST_ASKED} databases may have been migrated by now: "
                    "put the files back as they were pushed, and mend them with a new file"
                )
            asked += 1
            found.update(_ledger(outside, database))
    return frozenset(found)


def _databases(control: Control) -> Iterator[Database]:
    for class_ in control.settings.database_classes:
        for status in DatabaseStatus:
            if status not in _WITHOUT_ANY:
                yield from control.state.databases(class_, status)


def _is_bound(control: Control, database: Database) -> bool:
    """Say whether migrations can reach a database: one that was seen unbound has what it had."""
    if database.database_id is None:
        return False
    slot = control.state.slot(database.shard, database.ulid)
    return slot is not None and not slot.gone


def _of_moving_tenants(control: Control) -> Iterator[str]:
    """Yield the databases of tenants that are brought to the head before they are used."""
    for status in (TenantStatus.ACTIVATING, TenantStatus.FAILED):
        for tenant in control.state.tenants(status):
            if tenant.database_ulid is not None:
                yield tenant.database_ulid


def _ledger(outside: Outside, database: Database) -> frozenset[str]:
    try:
        result = outside.router().migrate(
            shard=database.shard, binding=database.binding, table=LEDGER, files=[]
        )
    except Transient as error:
        raise Permanent(
            f"can't tell which migrations {database.name} has ({error}): "
            "put the files back as they were pushed, or try again once it answers"
        ) from error
    return frozenset(result.ledger)
