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
from shared.usecases.context import Control
from shared.usecases.tell import tell_now

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


def wait_for_people(
    control: Control, worker: Worker, kind: str, message: str, seconds: float = 300
) -> Outcome:
    """Wait for what a person does or should do, e.g. end a gradual deployment; alert once."""
    _alert(control, worker, kind, "warning", message)
    return wait_for_worker(control, worker, seconds, message)


def give_up(control: Control, worker: Worker, error: str, reason: str) -> Outcome:
    """Say that a person must act; the sweep tries again, in case they did."""
    _alert(control, worker, f"shard_refused {error}", "error", reason)
    return GaveUp(reason)


def _alert(control: Control, worker: Worker, what: str, severity: str, reason: str) -> None:
    """Store the reason on the Worker and alert, once for each `what`.

    The reason's text won't do: it names the request, another one each time.
    """
    current = control.state.worker(worker.script) or worker
    if (current.reason or "").startswith(f"{what}: "):
        return
    now = control.now()
    alert = alert_put(
        now,
        kind=what.partition(" ")[0],
        severity=severity,
        subject=worker.script,
        summary=f"{worker.script}: {reason}",
    )
    after = current.changed(now, reason=f"{what}: {reason}", failures=current.failures)
    try:
        control.state.commit(Change(current, after), also=[alert])
    except Conflict:
        log.info("%s was moved meanwhile, the next attempt alerts", worker.script)
        return
    tell_now(control, alert)
