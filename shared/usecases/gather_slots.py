"""Find databases whose slot was lost and whose binding is gone with it: nothing speaks of them.

Whoever compares slots with bindings never sees them, and their tenants get no answer. The records
are what still says where they belong. It costs no call as long as nothing is lost.
"""

from collections.abc import Sequence
from typing import Final

from shared.cloudflare.errors import WorkerNotFound
from shared.domain.database import DatabaseStatus
from shared.domain.drift.bindings import (
    Belonging,
    BindingMissing,
    ShardSeen,
    bound_databases,
    compare_places,
)
from shared.usecases.looking import Looking

__all__ = ["gather_slots"]

_BOUND: Final = (DatabaseStatus.READY, DatabaseStatus.CLAIMED)


def gather_slots(looking: Looking) -> list[BindingMissing]:
    """Compare where the records say that databases are with the slots of all shards.

    Raises:
        NoPermit: the budget says wait.
    """
    by_shard: dict[str, set[str]] = {}
    for item in looking.databases(*_BOUND):
        if not looking.fresh(item):
            by_shard.setdefault(str(item["shard"]), set()).add(str(item["ulid"]))
    found: list[BindingMissing] = []
    for script, ulids in sorted(by_shard.items()):
        lost = ulids - {slot.ulid for slot in looking.control.state.slots(script)}
        if lost:
            found += _looked_at(looking, script, sorted(lost))
    return found


def _looked_at(looking: Looking, script: str, ulids: Sequence[str]) -> list[BindingMissing]:
    """Look once more, at the records themselves and at what the shard is bound to."""
    state = looking.control.state
    worker = state.worker(script)
    if worker is None:
        return []
    looking.calls += 1
    try:
        bindings = looking.api().workers.settings(script).bindings
    except WorkerNotFound:
        return []  # that is seen by whoever looks after the Workers
    records = [record for ulid in ulids if (record := state.database(ulid)) is not None]
    belonging = [
        Belonging(record.ulid, record.database_id, record.owner)
        for record in records
        if record.status in _BOUND and record.shard == script
    ]
    seen = ShardSeen(
        script,
        worker.version,
        worker.published_generation,
        state.slots(script),
        bound_databases(bindings),
    )
    return list(compare_places(looking.fleet, seen, belonging))
