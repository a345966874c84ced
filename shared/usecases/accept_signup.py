"""Take an auth provider's event: inbox row, tenant and, when the pool has one, a database at once.

Everything is one transaction, and only then a message: an event is either stored with its effect
or not acknowledged. A message lost between the two is sent again by the provider's redelivery.
Alerts are left in the outbox for the sweep: a request does not wait for the topic.
"""

import logging
from dataclasses import dataclass
from typing import Any, Final

from shared.aws.dead_letters import DeadLetters
from shared.aws.items import Change, inbox_key, inbox_put
from shared.aws.table import Item, Put
from shared.domain.auth_events import AuthEvent
from shared.domain.signup import Begin, Ignore, Keep, Move, decide_signup
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict, Transient
from shared.usecases.alerts import alert_put
from shared.usecases.claim_database import claim
from shared.usecases.context import Control
from shared.webhooks.ports import Accepted

__all__ = ["AcceptSignup"]

RACES: Final = 5

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class AcceptSignup:
    """Accept the events of auth providers."""

    control: Control
    dead_letters: DeadLetters

    def signup(self, event: AuthEvent, *, body_sha256: str, trace: str) -> Accepted:
        """Store an event with its effect, and wake the worker.

        Raises:
            Transient: storage does not answer, or others were quicker each time; nothing is
                acknowledged, the provider comes back.
        """
        key = inbox_key(event.provider, event.mode, event.event_id)
        for _ in range(RACES):
            seen = self.control.state.table.get(key)
            if seen is not None:
                return self._duplicate(seen, event, body_sha256, trace)
            try:
                return self._admit(event, key, body_sha256, trace)
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
        raise Transient("this tenant is contended", retry_after=1)

    def _admit(self, event: AuthEvent, key: str, body_sha256: str, trace: str) -> Accepted:
        control, now = self.control, self.control.now()
        before = control.state.tenant(event.tenant_id)
        admission = decide_signup(
            before,
            event,
            class_=before.class_ if before else control.settings.default_class,
            grace=control.settings.grace_period,
            now=now,
        )
        inbox = inbox_put(
            key,
            now,
            {"tenant_id": event.tenant_id, "type": event.type, "body_sha256": body_sha256},
        )
        why = f"{event.provider} {event.type}"
        after: Tenant | None
        match admission:
            case Ignore(why=reason):
                log.info("event ignored: %s", reason)
                control.state.commit(also=[inbox])
                return Accepted("ignored", before.status if before else None)
            case Keep():
                control.state.commit(also=[inbox])
                after = before
            case Move(tenant=moved, what=what):
                line = control.line(what, why=why, trace=trace)
                control.state.commit(Change(before, moved, line), also=[inbox])
                after = moved
            case Begin(tenant=pending, what=what):
                after = self._begin(before, pending, inbox, f"{what}: {why}", trace)
        if after is not None and not after.settled:
            self._wake(after, trace)
        return Accepted("accepted", after.status if after else None)

    def _begin(
        self, before: Tenant | None, pending: Tenant, inbox: Put, why: str, trace: str
    ) -> Tenant:
        claimed = claim(self.control, before, pending, why=why, trace=trace, also=[inbox])
        if claimed is not None:
            return claimed
        line = self.control.line("pending", why=why, trace=trace)
        self.control.state.commit(Change(before, pending, line), also=[inbox])
        return pending

    def _wake(self, tenant: Tenant, trace: str) -> None:
        self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
        if tenant.status is TenantStatus.ACTIVATING:
            # The pool just lost one. A refill that is not asked for is found by the sweep.
            self.control.enqueue("pool", tenant.class_, trace=trace)

    def _duplicate(self, seen: Item, event: AuthEvent, body_sha256: str, trace: str) -> Accepted:
        if seen.get("body_sha256", body_sha256) != body_sha256:
            self._report_two_bodies(event)
        tenant = self.control.state.tenant(event.tenant_id)
        if tenant is not None and not tenant.settled:
            # The first delivery may have died between the row and the message.
            self._wake(tenant, trace)
        return Accepted("duplicate", tenant.status if tenant else None)

    def _report_two_bodies(self, event: AuthEvent) -> None:
        row = alert_put(
            self.control.now(),
            kind="webhook_body_changed",
            severity="warning",
            subject=f"{event.provider}/{event.event_id}",
            summary=f"{event.provider} sent two bodies with one event id; the first counts",
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
