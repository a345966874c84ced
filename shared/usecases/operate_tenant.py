"""What an operator asks for a tenant. Called by the CLI.

An operator's word is weighed with the others' (`shared.domain.standing`), so that all meet the same
rules; only there is no inbox row, for nobody delivers it twice. Everything here is safe to ask for
again.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from shared.aws.items import Change
from shared.domain.auth_events import AuthEvent
from shared.domain.signup import Begin, Move, decide_signup
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus
from shared.errors import Permanent
from shared.usecases.begin_tenant import begin_tenant
from shared.usecases.context import Control
from shared.usecases.races import until_written
from shared.usecases.rights import rights_of, terms
from shared.usecases.wake_tenant import wake_tenant

__all__ = ["OperateTenant"]

_GONE: Final = frozenset({TenantStatus.CLOSING, TenantStatus.CLOSED})


@dataclass(frozen=True)
class OperateTenant:
    """Do what an operator asks for; return the tenant as it now is.

    Every method raises `Permanent` when it makes no sense, `Transient` when the table is contended
    or does not answer.
    """

    control: Control

    def provision(
        self, tenant_id: str, *, class_: str | None, display_name: str | None, trace: str
    ) -> Tenant:
        """Give a tenant a database, as its signup would.

        A tenant that has one, or waits for one, stays as it is and is only woken. One that closes
        is resumed, one that is closed begins anew.
        """
        classes = self.control.settings.database_classes
        if class_ is not None and class_ not in classes:
            raise Permanent(f"this fleet has no class {class_}: it has {', '.join(classes)}")
        return self._until_written(
            tenant_id, trace, lambda: self._provision(tenant_id, class_, display_name, trace)
        )

    def suspend(self, tenant_id: str, *, trace: str) -> Tenant:
        """Cut a tenant's access and keep its data, until somebody says something newer."""
        return self._say(tenant_id, OperatorWord.SUSPEND, trace)

    def resume(self, tenant_id: str, *, trace: str) -> Tenant:
        """Serve a suspended or closing tenant again, until somebody says something newer.

        Past the point of no return its backup is restored.
        """
        return self._say(tenant_id, OperatorWord.RESUME, trace)

    def close(
        self, tenant_id: str, *, grace: timedelta | None, without_backup: bool, trace: str
    ) -> Tenant:
        """Close a tenant: its database is deleted after the grace period and a proven backup.

        `grace` is this tenant's own; given for one that closes already it counts from now.
        """
        now = self.control.now()
        more: dict[str, Any] = {} if grace is None else {"grace": grace}
        tenant = self._say(tenant_id, OperatorWord.CLOSE, trace, **more)
        if tenant.status is not TenantStatus.CLOSING or tenant.past_no_return:
            return tenant
        changes: dict[str, Any] = {"without_backup": True} if without_backup else {}
        if grace is not None:
            changes["grace_ends_at"] = now + grace
        if not changes:
            return tenant
        return self._until_written(
            tenant_id, trace, lambda: self._hasten(tenant_id, changes, trace)
        )

    def _until_written(self, tenant_id: str, trace: str, attempt: Callable[[], Tenant]) -> Tenant:
        tenant = until_written(attempt, what=tenant_id)
        wake_tenant(self.control, tenant, trace)
        return tenant

    def _provision(
        self, tenant_id: str, class_: str | None, display_name: str | None, trace: str
    ) -> Tenant:
        control, now = self.control, self.control.now()
        event = _event(tenant_id, display_name, now)
        before = control.state.tenant(tenant_id)
        if before is not None and before.status is TenantStatus.FAILED:
            raise Permanent(
                f"{tenant_id} failed: {before.reason}; once that is mended, "
                f"`d1fleet tenants retry {tenant_id}`"
            )
        if before is not None and before.status not in _GONE:
            return before
        if before is not None and before.status is TenantStatus.CLOSING:
            return self._spoken(tenant_id, OperatorWord.RESUME, trace)
        kept = before.class_ if before else control.settings.default_class
        rights = rights_of(control, tenant_id)
        on = terms(control, rights)
        admission = decide_signup(before, event, class_=class_ or kept, terms=on)
        match admission:
            case Move(tenant=moved, what=what):
                line = control.line(what, why="an operator's word", trace=trace)
                also = () if before else rights.adopted()
                control.state.commit(Change(before, moved, line), also=also)
                return moved
            case Begin(tenant=pending, what=what):
                why = f"{what}: an operator's word"
                return begin_tenant(control, before, pending, rights, why=why, trace=trace)
            case _:
                raise Permanent(f"{tenant_id} can't be provisioned: {admission}")

    def _say(self, tenant_id: str, word: OperatorWord, trace: str, **more: Any) -> Tenant:
        return self._until_written(
            tenant_id, trace, lambda: self._spoken(tenant_id, word, trace, **more)
        )

    def _spoken(self, tenant_id: str, word: OperatorWord, trace: str, **more: Any) -> Tenant:
        """Write an operator's word down, with all that follows from it."""
        control, before = self.control, self._existing(tenant_id)
        if before.status is TenantStatus.CLOSED:
            raise Permanent(
                f"{tenant_id} is closed: `d1fleet restore {tenant_id}` brings it back, "
                f"`d1fleet tenants provision {tenant_id}` begins it anew"
            )
        on = terms(control, rights_of(control, tenant_id))
        said = before.noted(on.now, operator=word, operator_at=on.now, **more)
        after = on.settled(said)
        line = control.line(
            f"operator: {word}", why=f"{before.status} to {after.status}", trace=trace
        )
        control.state.commit(Change(before, after, line))
        return after

    def _hasten(self, tenant_id: str, changes: dict[str, Any], trace: str) -> Tenant:
        control, before = self.control, self._existing(tenant_id)
        if before.status is not TenantStatus.CLOSING or before.past_no_return:
            return before
        after = before.changed(control.now(), **changes)
        what = ", ".join(sorted(changes))
        control.state.commit(Change(before, after, control.line("closing", why=what, trace=trace)))
        return after

    def _existing(self, tenant_id: str) -> Tenant:
        tenant = self.control.state.tenant(tenant_id)
        if tenant is None:
            raise Permanent(f"there is no tenant {tenant_id}: see `d1fleet tenants list`")
        return tenant


def _event(tenant_id: str, display_name: str | None, now: datetime) -> AuthEvent:
    try:
        return AuthEvent(
            provider="operator",
            event_id=secrets.token_hex(16),
            type="provision",
            verb="tenant.requested",
            tenant_id=tenant_id,
            display_name=display_name,
            occurred_at=now,
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_input=False)[0]
        field = "tenant id" if wrong["loc"] == ("tenant_id",) else "name"
        raise Permanent(f"the {field} is refused: {wrong['msg']}") from None
