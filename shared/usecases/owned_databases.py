"""The databases that are a tenant's beside the one it uses: copies, and what it had before."""

from collections.abc import Iterator
from typing import Final

from shared.domain.database import Database, DatabaseStatus
from shared.domain.names import ulid_of_database
from shared.domain.tenant import Tenant
from shared.errors import Permanent
from shared.usecases.context import Control

__all__ = ["DROPPABLE", "aside", "owned_database"]

DROPPABLE: Final = frozenset({DatabaseStatus.DETACHED, DatabaseStatus.QUARANTINED})
"""What an operator may delete by name, where its tenant does not use it."""

_ASIDE: Final = (
    DatabaseStatus.DETACHED,
    DatabaseStatus.QUARANTINED,
    DatabaseStatus.IMPORTING,
    DatabaseStatus.BINDING,
    DatabaseStatus.MIGRATING,
    DatabaseStatus.EXPORTING,
    DatabaseStatus.UNBINDING,
    DatabaseStatus.REBINDING,
    DatabaseStatus.DELETING,
)


def owned_database(control: Control, tenant_id: str, name: str) -> Database:
    """Return the database of that name on D1, which must be the tenant's.

    Raises:
        Permanent: there is none, or it is somebody else's.
    """
    ulid = ulid_of_database(control.settings.fleet, name)
    database = control.state.database(ulid) if ulid is not None else None
    # Nobody learns here whose database it is instead.
    if database is None or database.owner != tenant_id:
        raise Permanent(f"{tenant_id} has no database {name}: see `d1fleet tenants show`")
    return database


def aside(control: Control, tenant: Tenant) -> Iterator[Database]:
    """Yield the tenant's databases that lie aside: copies, what stopped, what comes and goes.

    They come from an index that lags a little.
    """
    classes = dict.fromkeys((*control.settings.database_classes, tenant.class_))
    for class_ in classes:
        for status in _ASIDE:
            for database in control.state.databases(class_, status):
                if database.owner == tenant.tenant_id and database.ulid != tenant.database_ulid:
                    yield database
