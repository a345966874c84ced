"""Take an auth provider's event: inbox row, tenant and, when the pool has one, a database."""

import logging
from dataclasses import dataclass

from shared.aws.items import Change, inbox_key, inbox_put
from shared.domain.auth_events import AuthEvent
from shared.domain.signup import Begin, Ignore, Keep, Move, decide_signup
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.accept_event import AcceptEvent
from shared.usecases.begin_tenant import begin_tenant
from shared.usecases.rights import rights_of, terms
from shared.webhooks.ports import Accepted

__all__ = ["AcceptSignup"]

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class AcceptSignup(AcceptEvent):
    """Accept the events of auth providers."""

    def signup(self, event: AuthEvent, *, body_sha256: str, trace: str) -> Accepted:
        """Store an event with its effect, and wake the worker.

        Raises:
            Transient: storage does not answer, or others were quicker each time; nothing is
                acknowledged, the provider comes back.
        """
        key = inbox_key(event.provider, event.mode, event.event_id)
        return self._once(
            key,
            body_sha256,
            admit=lambda: self._admit(event, key, body_sha256, trace),
            duplicate=lambda _seen: self._duplicate(event, trace),
            subject=f"{event.provider}/{event.event_id}",
        )

    def _admit(self, event: AuthEvent, key: str, body_sha256: str, trace: str) -> Accepted:
        control, now = self.control, self.control.now()
        before = control.state.tenant(event.tenant_id)
        rights = rights_of(control, event.tenant_id)
        admission = decide_signup(
            before,
            event,
            class_=before.class_ if before else control.settings.default_class,
            terms=terms(control, rights),
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
                also = [inbox] if before else [inbox, *rights.adopted()]
                control.state.commit(Change(before, moved, line), also=also)
                after = moved
            case Begin(tenant=pending, what=what):
                after = begin_tenant(
                    control,
                    before,
                    pending,
                    rights,
                    why=f"{what}: {why}",
                    trace=trace,
                    also=[inbox],
                )
        if after is not None and not after.settled:
            self._wake(after, trace)
        return Accepted("accepted", after.status if after else None)

    def _wake(self, tenant: Tenant, trace: str) -> None:
        self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
        if tenant.status is TenantStatus.ACTIVATING:
            # The pool just lost one. A refill that is not asked for is found by the sweep.
            self.control.enqueue("pool", tenant.class_, trace=trace)

    def _duplicate(self, event: AuthEvent, trace: str) -> Accepted:
        tenant = self.control.state.tenant(event.tenant_id)
        if tenant is not None and not tenant.settled:
            # The first delivery may have died between the row and the message.
            self._wake(tenant, trace)
        return Accepted("duplicate", tenant.status if tenant else None)
