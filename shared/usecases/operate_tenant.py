"""What an operator asks for a tenant: to be provisioned, or tried again. Called by the CLI.

An operator's word is weighed like an auth provider's event of this moment, so that both meet the
same rules; only there is no inbox row, for nobody delivers it twice.
"""

import logging
import secrets
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError

from shared.aws.items import Change
from shared.domain.auth_events import AuthEvent
from shared.domain.signup import Begin, Move, decide_signup
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.claim_database import claim
from shared.usecases.context import Control

__all__ = ["OperateTenant"]

RACES: Final = 5
_GONE: Final = frozenset({TenantStatus.CLOSING, TenantStatus.CLOSED})

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class OperateTenant:
    """Do what an operator asks for. Both are safe to ask for again.

    Both raise `Permanent` when it makes no sense, `Transient` when the table is contended or does
    not answer.
    """

    control: Control

    def provision(
        self, tenant_id: str, *, class_: str | None, display_name: str | None, trace: str
    ) -> Tenant:
        """Give a tenant a database, as its signup would; return the tenant as it now is.

        A tenant that has one, or waits for one, stays as it is and is only woken. One that closes
        is resumed, one that is closed begins anew.
        """
        classes = self.control.settings.database_classes
        if class_ is not None and class_ not in classes:
            raise Permanent(f"this fleet has no class {class_}: it has {', '.join(classes)}")
        for _ in range(RACES):
            try:
                tenant = self._provision(tenant_id, class_, display_name, trace)
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
                continue
            self._wake(tenant, trace)
            return tenant
        raise Transient("this tenant is contended: try again", retry_after=1)

    def _provision(
        self, tenant_id: str, class_: str | None, display_name: str | None, trace: str
    ) -> Tenant:
        control, now = self.control, self.control.now()
        event = _event(tenant_id, display_name)
        before = control.state.tenant(tenant_id)
        if before is not None and before.status is TenantStatus.FAILED:
            raise Permanent(
                f"{tenant_id} failed: {before.reason}; once that is mended, "
                f"`d1fleet tenants retry {tenant_id}`"
            )
        if before is not None and before.status not in _GONE:
            return before
        kept = before.class_ if before else control.settings.default_class
        admission = decide_signup(
            before,
            event.model_copy(update={"occurred_at": now}),
            class_=class_ or kept,
            grace=control.settings.grace_period,
            now=now,
        )
        match admission:
            case Move(tenant=moved, what=what):
                line = control.line(what, why="an operator's word", trace=trace)
                control.state.commit(Change(before, moved, line))
                return moved
            case Begin(tenant=pending, what=what):
                why = f"{what}: an operator's word"
                claimed = claim(control, before, pending, why=why, trace=trace)
                if claimed is None:
                    line = control.line("pending", why=why, trace=trace)
                    control.state.commit(Change(before, pending, line))
                return claimed or pending
            case _:
                raise Permanent(f"{tenant_id} can't be provisioned: {admission}")

    def retry(self, tenant_id: str, trace: str) -> Tenant:
        """Send a failed tenant on its way again, and let its class's pool be tried again too.

        One that waits is woken; one that is settled stays as it is.
        """
        control = self.control
        for _ in range(RACES):
            before = control.state.tenant(tenant_id)
            if before is None:
                raise Permanent(f"there is no tenant {tenant_id}: see `d1fleet tenants list`")
            if before.status is not TenantStatus.FAILED:
                self._wake(before, trace)
                return before
            # Or the tenant would be refused at once for the reason that was just mended.
            control.pools.unblock(before.class_)
            owns = before.database_ulid is not None
            to = TenantStatus.ACTIVATING if owns else TenantStatus.PENDING
            after = before.moved(to, control.now(), reason=None)
            line = control.line("retried", why=before.reason or "", trace=trace)
            try:
                control.state.commit(Change(before, after, line))
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
                continue
            self._wake(after, trace)
            return after
        raise Transient("this tenant is contended: try again", retry_after=1)

    def _wake(self, tenant: Tenant, trace: str) -> None:
        if not tenant.settled:
            self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
            self.control.enqueue("pool", tenant.class_, trace=trace)


def _event(tenant_id: str, display_name: str | None) -> AuthEvent:
    try:
        return AuthEvent(
            provider="operator",
            event_id=secrets.token_hex(16),
            type="provision",
            verb="tenant.requested",
            tenant_id=tenant_id,
            display_name=display_name,
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        field = "tenant id" if wrong["loc"] == ("tenant_id",) else "name"
        raise Permanent(f"the {field} is refused: {wrong['msg']}") from None
