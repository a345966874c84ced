"""When what was alerted of is over: looked up in the table, for each kind whose end it knows.

An alert is made where something happens; its end is often nowhere in particular (a tenant that
failed is retried, closed, erased). So the sweep asks, for each finding that stands, whether its
reason still does. Kinds that are not here are points in time: nothing ends them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from shared.domain.backup import BackupStatus
from shared.domain.database import DatabaseStatus
from shared.domain.finding import Finding
from shared.domain.tenant import TenantStatus
from shared.usecases.context import Control

__all__ = ["LASTING", "SEEN_BY_PASSES", "ends"]

Stands = Callable[[Control, str], bool]


def ends(control: Control, findings: Iterable[Finding]) -> dict[str, str]:
    """Return by fingerprint why findings are over, for those that are."""
    over = {}
    for finding in findings:
        stands = _STANDS.get(finding.kind)
        if stands is not None and not stands(control, finding.subject):
            over[finding.fingerprint] = "its reason is gone"
    return over


def _tenant_failed(control: Control, tenant_id: str) -> bool:
    tenant = control.state.tenant(tenant_id)
    return tenant is not None and tenant.status is TenantStatus.FAILED


def _tenant_held_up(control: Control, subject: str) -> bool:
    tenant_id, _, what = subject.rpartition("/")
    tenant = control.state.tenant(tenant_id)
    return tenant is not None and (tenant.held_up or "").startswith(f"{what}: ")


def _database_held_up(control: Control, subject: str) -> bool:
    ulid, _, what = subject.partition("/")
    database = control.state.database(ulid)
    if database is None:
        return False
    # What is set aside has its reason in other words: it stands until somebody takes it back.
    aside = database.status is DatabaseStatus.QUARANTINED
    return aside or (database.reason or "").startswith(f"{what}: ")


def _pool_blocked(control: Control, class_: str) -> bool:
    return control.pools.blocked(class_) is not None


def _breaker_open(control: Control, _subject: str) -> bool:
    return control.breaker.read().reason is not None


def _backup_refused(control: Control, ulid: str) -> bool:
    database = control.state.database(ulid)
    if database is None or database.status is DatabaseStatus.DELETED or database.owner is None:
        return False
    of_it = (b for b in control.state.backups_of(database.owner) if b.database_ulid == ulid)
    newest = next(of_it, None)
    # One that is made again may be refused again: that it is wanted ends nothing.
    return newest is not None and newest.status in {BackupStatus.REFUSED, BackupStatus.WANTED}


def _worker(kind: str) -> Stands:
    def stands(control: Control, script: str) -> bool:
        worker = control.state.worker(script)
        return worker is not None and (worker.reason or "").startswith(kind)

    return stands


def _not_live(control: Control, script: str) -> bool:
    worker = control.state.worker(script)
    return worker is not None and worker.live_generation != worker.published_generation


_STANDS: Final[Mapping[str, Stands]] = {
    "tenant_failed": _tenant_failed,
    "tenant_held_up": _tenant_held_up,
    "database_held_up": _database_held_up,
    "pool_blocked": _pool_blocked,
    "breaker_open": _breaker_open,
    "backup_refused": _backup_refused,
    "shard_refused": _worker("shard_refused"),
    "shard_rollout": _worker("shard_rollout"),
    "generation_not_live": _not_live,
}

LASTING: Final = frozenset(_STANDS) | {"database_missing"}
"""Kinds of alerts that become findings. The nightly pass sees the end of `database_missing`."""

SEEN_BY_PASSES: Final = frozenset({"database_missing", "generation_not_live"})
"""Of these, the kinds that passes over the fleet see too: whoever comes second has no news.

Whoever alerts of another says it once each time it begins. If a finding still stands then, nobody
looked since its end: a breaker that opens again after somebody closed it is told again.
"""
