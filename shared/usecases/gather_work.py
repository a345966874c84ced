"""Look for work that nobody does any more, teardowns that do not end, low pools, dead letters.

Cheap: it reads indexes and the queues' counts, and calls nobody. The sweep does it too.
"""

from collections.abc import Mapping
from datetime import timedelta
from itertools import islice
from typing import Final

from shared.aws.state import State
from shared.domain.classes import DATABASE_CLASSES
from shared.domain.database import MAKING, DatabaseStatus
from shared.domain.drift.work import (
    IDLE_AFTER,
    LOST_AFTER,
    DeadLetters,
    PoolLow,
    TeardownOverdue,
    TenantStuck,
    dead_letters,
    deletion_overdue,
    pool_low,
    tenant_at_rest,
)
from shared.domain.tenant import TenantStatus
from shared.usecases.looking import Looking

__all__ = ["WORK", "gather_work", "look_at_pools", "look_at_queues", "look_at_tenant"]

WORK: Final = ("work", "bind", "backup")
"""The queues in which somebody may be on the way; those of dead letters have `_dlq` behind."""
_DEAD: Final = "_dlq"
AT_ONCE: Final = 1000
DUE: Final = timedelta(minutes=1)

WorkDrift = TenantStuck | TeardownOverdue | PoolLow | DeadLetters


def gather_work(looking: Looking) -> list[WorkDrift]:
    """Say what work was forgotten, and what it lacks.

    Raises:
        Transient: the table or the queues do not answer.
    """
    depths = looking.depths()
    idle = not any(depths.get(name, 0) for name in WORK)
    return [
        *look_at_queues(depths),
        *look_at_pools(looking, idle=idle),
        *_tenants(looking, idle=idle),
        *_deletions(looking),
    ]


def look_at_queues(depths: Mapping[str, int]) -> list[DeadLetters]:
    """Say which queues' dead letters are not empty, given how many messages each queue has."""
    dead = {name: depths[name] for name in depths if name.endswith(_DEAD)}
    return dead_letters({name.removesuffix(_DEAD): depth for name, depth in dead.items()})


def look_at_pools(looking: Looking, *, idle: bool = False) -> list[PoolLow]:
    """Say which pools lack databases that nobody makes; `idle` says that no message waits."""
    control, found = looking.control, []
    young = control.now() - (IDLE_AFTER if idle else LOST_AFTER)
    for class_ in control.settings.database_classes:
        blocked = control.pools.blocked(class_)
        low = pool_low(
            class_,
            target=control.settings.pool_target,
            ready=control.state.count_databases(class_, DatabaseStatus.READY),
            making=_making(control.state, class_),
            claimed=control.state.count_databases(class_, DatabaseStatus.CLAIMED, since=young),
            blocked=blocked.reason if blocked else None,
        )
        if low is not None:
            found.append(low)
    return found


def _making(state: State, class_: str) -> int:
    """Count the databases that are being made for a pool; a restore's comes to its tenant alone."""
    return sum(
        database.owner is None
        for status in MAKING
        for database in state.databases(class_, status, limit=AT_ONCE)
    )


def _tenants(looking: Looking, *, idle: bool) -> list[TenantStuck | TeardownOverdue]:
    state, found = looking.control.state, []
    for status in TenantStatus:
        if status is TenantStatus.ACTIVE:
            continue  # settled, all of them; the directory tells of those that are not
        late = state.tenants(status, due_before=looking.began - DUE)
        for hint in islice((tenant for tenant in late if not tenant.settled), AT_ONCE):
            seen = look_at_tenant(looking, hint.tenant_id, idle=idle)
            if seen is not None:
                found.append(seen)
    return found


def look_at_tenant(
    looking: Looking, tenant_id: str, *, idle: bool
) -> TenantStuck | TeardownOverdue | None:
    """Say whether a tenant was forgotten, by its own record."""
    tenant = looking.control.state.tenant(tenant_id)
    return None if tenant is None else tenant_at_rest(tenant, idle=idle, now=looking.control.now())


def _deletions(looking: Looking) -> list[TeardownOverdue]:
    state, now, found = looking.control.state, looking.control.now(), []
    for class_ in sorted(DATABASE_CLASSES):
        hints = state.databases(class_, DatabaseStatus.DELETING, limit=AT_ONCE)
        for database in (state.database(hint.ulid) for hint in hints):
            late = None if database is None else deletion_overdue(database, now)
            if late is not None:
                found.append(late)
    return found
