"""When what was alerted of is over: looked up in the table, for each kind whose end it knows.

An alert is made where something happens; its end is often nowhere in particular (a tenant that
failed is retried, closed, erased). So the sweep asks, for each finding that stands, whether its
reason still does; of what passes see it asks so of pool Workers, which are mended long before the
next pass. Kinds that are not here are points in time: nothing ends them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from shared.domain.backup import Backup, BackupStatus
from shared.domain.database import DatabaseStatus
from shared.domain.finding import Finding
from shared.domain.tenant import TenantStatus
from shared.domain.worker_watch import Trouble
from shared.usecases.context import Control

__all__ = ["LASTING", "SEEN_BY_PASSES", "ends"]

Stands = Callable[[Control, Finding], bool]


def ends(control: Control, findings: Iterable[Finding]) -> dict[str, str]:
    """Return by fingerprint why findings are over, for those that are."""
    over = {}
    for finding in findings:
        # What stands for a storm ends with the last of them.
        stands = None if finding.members else _STANDS.get(finding.kind)
        if stands is not None and not stands(control, finding):
            over[finding.fingerprint] = "its reason is gone"
    return over


def _tenant_failed(control: Control, finding: Finding) -> bool:
    tenant = control.state.tenant(finding.subject)
    return tenant is not None and tenant.status is TenantStatus.FAILED


def _tenant_held_up(control: Control, finding: Finding) -> bool:
    tenant_id, _, what = finding.subject.rpartition("/")
    tenant = control.state.tenant(tenant_id)
    return tenant is not None and (tenant.held_up or "").startswith(f"{what}: ")


def _database_held_up(control: Control, finding: Finding) -> bool:
    ulid, _, what = finding.subject.partition("/")
    database = control.state.database(ulid)
    # What was deleted after all keeps the reason for which that took longer.
    if database is None or database.status is DatabaseStatus.DELETED:
        return False
    # What is set aside has its reason in other words: it stands until somebody takes it back.
    aside = database.status is DatabaseStatus.QUARANTINED
    return aside or (database.reason or "").startswith(f"{what}: ")


def _pool_blocked(control: Control, finding: Finding) -> bool:
    return control.pools.blocked(finding.subject) is not None


def _breaker_open(control: Control, _finding: Finding) -> bool:
    return control.breaker.read().reason is not None


def _backup_refused(control: Control, finding: Finding) -> bool:
    database = control.state.database(finding.subject)
    if database is None or database.status is DatabaseStatus.DELETED or database.owner is None:
        return False
    backups = control.state.backups_of(database.owner)
    newest = next((each for each in backups if each.database_ulid == database.ulid), None)
    if newest is None or not _is_wanted(control, newest):
        return False
    # One that is made again may be refused again: that it is wanted ends nothing.
    return newest.status in {BackupStatus.REFUSED, BackupStatus.WANTED}


def _is_wanted(control: Control, backup: Backup) -> bool:
    """Say whether the closing that asked for a backup still waits for it."""
    if backup.closing_id is None:
        return True
    tenant = control.state.tenant(backup.tenant_id)
    if tenant is None or tenant.closing_id != backup.closing_id:
        return False
    return not (tenant.without_backup or tenant.past_no_return)


def _worker(kind: str) -> Stands:
    def stands(control: Control, finding: Finding) -> bool:
        worker = control.state.worker(finding.subject)
        return worker is not None and (worker.reason or "").startswith(kind)

    return stands


def _not_live(control: Control, finding: Finding) -> bool:
    if finding.evidence:
        return _troubled(control, finding)
    worker = control.state.worker(finding.subject)
    return worker is not None and worker.live_generation != worker.published_generation


def _troubled(control: Control, finding: Finding) -> bool:
    """Say whether a running Worker may still be as a look at it saw it.

    The table believed it was live all along, so that what it says proves nothing: only a later
    generation that was seen live does, or a later look.
    """
    worker = control.state.worker(finding.subject)
    if worker is None:
        return False
    published = finding.evidence.get("published")
    later = isinstance(published, int) and worker.published_generation > published
    return not (later and worker.live_generation == worker.published_generation)


_ALERTED: Final[Mapping[str, Stands]] = {
    "tenant_failed": _tenant_failed,
    "tenant_held_up": _tenant_held_up,
    "database_held_up": _database_held_up,
    "pool_blocked": _pool_blocked,
    "breaker_open": _breaker_open,
    "backup_refused": _backup_refused,
    "shard_refused": _worker("shard_refused"),
    "generation_not_live": _not_live,
}

_STANDS: Final[Mapping[str, Stands]] = {
    **{str(trouble): _troubled for trouble in Trouble},
    **_ALERTED,
}

LASTING: Final = frozenset(_ALERTED) | {"database_missing"}
"""Kinds of alerts that become findings. The nightly pass sees the end of `database_missing`."""

SEEN_BY_PASSES: Final = frozenset({"database_missing", "generation_not_live"})
"""Of these, the kinds that passes over the fleet see too: whoever comes second has no news.

Whoever alerts of another says it once each time it begins. If a finding still stands then, nobody
looked since its end: a breaker that opens again after somebody closed it is told again.
"""
