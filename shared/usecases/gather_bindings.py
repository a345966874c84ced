"""Read one shard's settings and slots, and say which bindings differ: one call a shard."""

from collections.abc import Sequence
from typing import Final

from shared.cloudflare.errors import WorkerNotFound
from shared.domain.database import Database
from shared.domain.drift.bindings import (
    AnyBinding,
    BindingUnexpected,
    ShardSeen,
    bound_databases,
    compare_bindings,
    known_by_name,
    known_by_record,
)
from shared.domain.worker import Binding, Slot, Worker
from shared.usecases.looking import Looking

__all__ = ["ShardMoving", "gather_bindings"]

TRIES: Final = 3


class ShardMoving(Exception):  # noqa: N818 - no fault of anybody's
    """Say that a shard was published again and again while it was looked at."""


def gather_bindings(looking: Looking, script: str) -> list[AnyBinding]:
    """Compare a shard's bindings with its slots.

    A publish in between moves both: then it is looked at anew. A script that is not there is seen
    by whoever looks after the Workers.

    Raises:
        ShardMoving: it does not stand still; the next pass sees it.
        NoPermit: the budget says wait.
    """
    for _ in range(TRIES):
        worker = looking.control.state.worker(script)
        if worker is None or worker.status == "new":
            return []
        if worker.unfinished:
            continue
        slots = looking.control.state.slots(script)
        looking.calls += 1
        try:
            bindings = looking.api().workers.settings(script).bindings
        except WorkerNotFound:
            return []
        found = _compared(looking, worker, slots, bindings)
        if not found:
            return []
        slots = looking.control.state.slots(script)
        after = looking.control.state.worker(script)
        if after is not None and after.version == worker.version:
            # A slot that was written meanwhile is no drift: only what holds by both is.
            still = {each.subject for each in _compared(looking, worker, slots, bindings)}
            return _in_full(looking, [each for each in found if each.subject in still])
    raise ShardMoving(f"{script} is being published again and again")


def _compared(
    looking: Looking, worker: Worker, slots: Sequence[Slot], bindings: Sequence[Binding]
) -> list[AnyBinding]:
    seen = ShardSeen(
        worker.script,
        worker.version,
        worker.published_generation,
        slots,
        bound_databases(bindings),
    )
    return list(compare_bindings(looking.fleet, seen))


def _in_full(looking: Looking, drifts: Sequence[AnyBinding]) -> list[AnyBinding]:
    """Return drifts with what the records of their databases, and D1, say about them."""
    records = {drift.ulid: looking.control.state.database(drift.ulid) for drift in drifts}
    told: list[AnyBinding] = []
    open_: list[BindingUnexpected] = []
    for drift in drifts:
        if not isinstance(drift, BindingUnexpected):
            told.append(drift)
        elif known := known_by_record(drift, records[drift.ulid]):
            told.append(known)
        else:
            open_.append(drift)
    names = looking.names_on_d1({drift.bound_to for drift in open_ if drift.bound_to is not None})
    for drift in open_:
        if drift.bound_to is None or drift.bound_to in names:
            name = names.get(drift.bound_to or "")
            told.append(known_by_name(drift, records[drift.ulid], name))
        else:
            # Nobody drops what may yet be the only way to somebody's data.
            told.append(drift.model_copy(update={"unrecorded": True}))
    return [_with_owner(drift, records[drift.ulid]) for drift in told]


def _with_owner(drift: AnyBinding, record: Database | None) -> AnyBinding:
    if record is None or record.owner is None:
        return drift
    return drift.model_copy(update={"tenant_id": record.owner})
