"""See whether what a pass repaired is mended by now, and resolve what is.

Repairs are done by others, in their own time: the sweep looks again, and whoever waits on the
command line does.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from shared.aws.runs import Runs
from shared.domain.database import DatabaseStatus
from shared.domain.drift.bindings import BindingDrift
from shared.domain.drift.contents import Contents
from shared.domain.drift.databases import DatabaseMissing, DatabaseOrphan
from shared.domain.drift.every import AnyDrift
from shared.domain.drift.repairs import FailTenant
from shared.domain.drift.routes import DirectoryStale
from shared.domain.drift.work import DeadLetters, PoolLow, TeardownOverdue, TenantStuck
from shared.domain.finding import Sighting
from shared.domain.names import ulid_of_binding
from shared.domain.worker import Worker
from shared.errors import ControlPlaneError
from shared.usecases.context import Control
from shared.usecases.drift_report import read_report, with_state
from shared.usecases.drift_run import Run, keep_run, read_run
from shared.usecases.findings import KeepFindings
from shared.usecases.gather_bindings import ShardMoving, gather_bindings
from shared.usecases.gather_databases import look_at_databases
from shared.usecases.gather_routes import look_at_routes
from shared.usecases.gather_work import look_at_pools, look_at_tenant
from shared.usecases.looking import Looking
from shared.usecases.outside import Outside

__all__ = ["SettleRepairs"]

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class SettleRepairs:
    """See to the repairs of a pass."""

    control: Control
    outside: Outside
    findings: KeepFindings
    runs: Runs
    depths: Callable[[], Mapping[str, int]]

    def __call__(self, run_id: str, trace: str) -> dict[str, Any]:
        """Look again at what a pass repaired; say how many are `waiting`, and how many `left`.

        Raises:
            Transient: the table or the bucket does not answer.
            Permanent: nothing is known of this run, or it was another version's.
        """
        report = read_report(self.runs, f"{run_id}.json")
        if not any(each["repaired"] for each in report["findings"]):
            return {"run": run_id, "waiting": 0, "left": report["left"]}
        run = read_run(self.runs, run_id)
        looking = Looking(self.control, self.outside, self.depths, self.control.now())
        asked = [
            planned
            for planned in run.planned
            if planned.repaired and not planned.mended and not _lasts(planned.drift)
        ]
        still = self._still(looking, [planned.drift for planned in asked])
        mended = [planned for planned in asked if planned.fingerprint not in still]
        workers = self._mended_workers(run)
        for planned in mended:
            planned.mended = True
        if mended or workers:
            run.marked = [each for each in run.marked if each not in {w.subject for w in workers}]
            gone = {
                seen.fingerprint for seen in (*(one.drift.sighting() for one in mended), *workers)
            }
            run.over += sorted(gone)
            self.findings(
                [], compared=(), trace=trace, over=dict.fromkeys(gone, "repaired, and seen so")
            )
            report = with_state(report, set(run.over))
            keep_run(self.runs, run)
            self.runs.keep(f"{run_id}.json", report)
        waiting = sum(not planned.mended for planned in asked)
        waiting += len(run.marked)
        if waiting == 0:
            self.runs.settled(run_id)
        return {"run": run_id, "waiting": waiting, "left": report["left"]}

    def _mended_workers(self, run: Run) -> list[Sighting]:
        """Return what was seen of the pool Workers and is over by now."""
        live = {script for script in run.marked if _is_live(self.control.state.worker(script))}
        return [seen for seen in run.workers if seen.subject in live]

    def _still(self, looking: Looking, drifts: list[AnyDrift]) -> set[str]:
        """Return the fingerprints of what is still there, or can't be looked at."""
        still: set[str] = set()
        for together in _parts(drifts):
            try:
                found = look_again(looking, together)
            except (ControlPlaneError, ShardMoving) as error:
                log.info("a repair was not seen to: %s", error)
                found = together
            still |= {drift.sighting().fingerprint for drift in found}
        return still


def look_again(looking: Looking, drifts: Sequence[AnyDrift]) -> Sequence[AnyDrift]:
    """Return what is still so of drifts that are looked at in one go.

    Raises:
        ControlPlaneError: it can't be looked at now.
    """
    first = drifts[0]
    match first:
        case DatabaseMissing() | DatabaseOrphan():
            ours = [one for one in drifts if isinstance(one, DatabaseMissing | DatabaseOrphan)]
            return look_at_databases(looking, ours)
        case BindingDrift():
            # Asked before its publish was seen live, it would cost a call to hear nothing new.
            if not _is_live(looking.control.state.worker(first.script)):
                return drifts
            return gather_bindings(looking, first.script)
        case DirectoryStale():
            moving = [one for one in drifts if not _is_settled(looking, one.tenant_id)]
            return [*moving, *look_at_routes(looking, [one.subject for one in drifts])]
        case TenantStuck():
            seen = (look_at_tenant(looking, one.subject, idle=False) for one in drifts)
            return [one for one in seen if one is not None]
        case TeardownOverdue():
            return [one for one in drifts if not _is_torn_down(looking, one)]
        case PoolLow():
            return look_at_pools(looking)
        case Contents():
            head = looking.outside.head()
            return [one for one in drifts if not _is_at(looking, one, head)]
        case DeadLetters():
            return drifts
        case _:
            assert_never(first)


def _parts(drifts: Sequence[AnyDrift]) -> Iterator[list[AnyDrift]]:
    """Yield drifts together that are looked at in one go."""
    by_part: dict[tuple[str, ...], list[AnyDrift]] = {}
    for drift in drifts:
        match drift:
            case BindingDrift():
                part: tuple[str, ...] = ("binding", drift.script)
            case DatabaseMissing() | DatabaseOrphan():
                part = ("database",)
            case _:
                part = (drift.kind,)
        by_part.setdefault(part, []).append(drift)
    yield from by_part.values()


def _is_live(worker: Worker | None) -> bool:
    """Say whether a pool Worker was published as it is wanted, and seen to serve that."""
    if worker is None or worker.unfinished or not worker.published_hash:
        return False
    return worker.live_generation == worker.published_generation


def _is_settled(looking: Looking, tenant_id: str | None) -> bool:
    tenant = looking.control.state.tenant(tenant_id or "")
    return tenant is None or tenant.settled or tenant.routed_status == tenant.status


def _is_torn_down(looking: Looking, drift: AnyDrift) -> bool:
    """Say whether a teardown ended: the database is deleted, or its tenant stays after all.

    That a tenant is closed, or that a copy of a served one is dropped, says nothing of the data.
    """
    database = looking.control.state.database(ulid_of_binding(drift.binding or "") or "")
    if database is not None and database.status is not DatabaseStatus.CLAIMED:
        return database.status is DatabaseStatus.DELETED
    return look_at_tenant(looking, drift.subject, idle=False) is None


def _is_at(looking: Looking, drift: AnyDrift, head: str) -> bool:
    """Say whether a database of the pool was brought to the head, or is in no pool any more."""
    database = looking.control.state.database(drift.subject)
    in_pool = database is not None and database.status is DatabaseStatus.READY
    return not in_pool or (database is not None and database.schema_version == head)


def _lasts(drift: AnyDrift) -> bool:
    """Say whether only a person ends this: a tenant failed, and its data is not back."""
    return isinstance(drift.repair, FailTenant)
