"""What taking any provider's event has in common: once only, again after a lost race, kept aside.

Everything an event does is one transaction, and only then a message: an event is either stored with
its effect or not acknowledged. A message lost between the two is sent again by the provider's
redelivery. Alerts are left in the outbox for the sweep: a request does not wait for the topic.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from shared.aws.dead_letters import DeadLetters
from shared.aws.items import inbox_key, inbox_put
from shared.aws.table import Item
from shared.errors import Conflict, Transient
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control
from shared.webhooks.ports import Accepted

__all__ = ["RACES", "AcceptEvent"]

RACES: Final = 5

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class AcceptEvent:
    """Be what the acceptors of events are made of."""

    control: Control
    dead_letters: DeadLetters

    def _once(
        self,
        key: str,
        body_sha256: str,
        *,
        admit: Callable[[], Accepted],
        duplicate: Callable[[Item], Accepted],
        subject: str,
    ) -> Accepted:
        """Admit an event that was not seen yet, again while others are quicker.

        Raises:
            Transient: storage does not answer, or others were quicker each time.
        """
        for _ in range(RACES):
            seen = self.control.state.table.get(key)
            if seen is not None:
                if seen.get("body_sha256", body_sha256) != body_sha256:
                    self._report_two_bodies(subject)
                return duplicate(seen)
            try:
                return admit()
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
        raise Transient("this tenant is contended", retry_after=1)

    def _report_two_bodies(self, subject: str) -> None:
        who = subject.partition("/")[0]
        row = alert_put(
            self.control.now(),
            kind="webhook_body_changed",
            severity="warning",
            subject=subject,
            summary=f"{who} sent two bodies with one event id; the first counts",
        )
        self.control.state.table.write(row)

    def dead_letter(
        self,
        *,
        provider: str,
        mode: str,
        event_id: str | None,
        reason: str,
        body: bytes,
        trace: str,
    ) -> None:
        """Keep a well-signed event that could not be understood, and alert once.

        The body goes to the bucket, for an item of the table takes 400 KB; the row holds its key.
        """
        now = self.control.now()
        stored = self.dead_letters.keep(provider, body)
        key = inbox_key(provider, mode, event_id or f"body:{stored.sha256}")
        data: dict[str, Any] = {
            "dead_letter": stored.key,
            "body_sha256": stored.sha256,
            "reason": reason,
            "trace": trace,
        }
        alert = alert_put(
            now,
            kind="webhook_dead_lettered",
            severity="warning",
            subject=f"{provider}/{stored.sha256}",
            summary=f"an event of {provider} was kept aside: {reason}",
        )
        try:
            self.control.state.commit(also=[inbox_put(key, now, data), alert])
        except Conflict:
            log.info("this dead letter is kept already")
