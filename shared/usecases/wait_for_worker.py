"""How the publisher of a pool Worker waits, and how it says that a person must act.

There is one waiting message a Worker: whoever wants to wait while another does already, need not.
"""

import logging
from datetime import datetime, timedelta

from shared.aws.items import Change
from shared.aws.table import Condition, Update
from shared.domain.lifecycle import iso
from shared.domain.outcomes import Done, GaveUp, Outcome, RetryLater
from shared.domain.worker import Worker
from shared.errors import Conflict
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control, deliver_now

__all__ = ["count_failure", "give_up", "wait_for_people", "wait_for_worker"]

log = logging.getLogger("d1fleet")


def wait_for_worker(control: Control, worker: Worker, seconds: float, why: str) -> Outcome:
    """Write down when to look at a Worker again, unless that is written down already."""
    now = control.now()
    if not _schedule(control, worker.script, now, now + timedelta(seconds=seconds)):
        return Done()
    return RetryLater(seconds, why)


def _schedule(control: Control, script: str, now: datetime, wake_at: datetime) -> bool:
    free = Condition(
        "nobody is waiting already",
        "attribute_not_exists(wake_at) OR wake_at <= :now OR wake_at > :wake",
        values={":now": iso(now)},
    )
    update = Update(
        {"pk": f"WORKER#{script}", "sk": "META"},
        "SET wake_at = :wake",
        values={":wake": iso(wake_at)},
        condition=free,
    )
    try:
        control.state.table.write(update)
    except Conflict:
        return False
    return True


def count_failure(control: Control, worker: Worker, failures: int) -> None:
    """Write down how many failures in a row there were, for the backoff."""
    control.state.table.write(
        Update(
            {"pk": f"WORKER#{worker.script}", "sk": "META"},
            "SET failures = :failures",
            values={":failures": failures},
        )
    )


def wait_for_people(control: Control, worker: Worker, message: str) -> Outcome:
    """Wait while somebody's gradual deployment is under way: a publish would be refused."""
    _alert(control, worker, "shard_rollout", "warning", message)
    return wait_for_worker(control, worker, 300, "the newest version is not the deployed one")


def give_up(control: Control, worker: Worker, reason: str) -> Outcome:
    """Say that a person must act; the sweep tries again, in case they did."""
    _alert(control, worker, "shard_refused", "error", reason)
    return GaveUp(reason)


def _alert(control: Control, worker: Worker, kind: str, severity: str, reason: str) -> None:
    """Store the reason on the Worker and alert, once for each reason."""
    current = control.state.worker(worker.script) or worker
    if current.reason == reason:
        return
    now = control.now()
    alert = alert_put(
        now,
        kind=kind,
        severity=severity,
        subject=worker.script,
        summary=f"{worker.script}: {reason}",
    )
    try:
        control.state.commit(Change(current, current.changed(now, reason=reason)), also=[alert])
    except Conflict:
        log.info("%s was moved meanwhile, the next attempt alerts", worker.script)
        return
    deliver_now(control, alert.item)
