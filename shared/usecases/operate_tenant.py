"""What an operator asks for a tenant. Called by the CLI.

An operator's word is weighed with the others' (`shared.domain.standing`), so that all meet the same
rules; only there is no inbox row, for nobody delivers it twice. Everything here is safe to ask for
again.
"""

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError

from shared.aws.items import Change
from shared.aws.table import Write
from shared.domain.auth_events import AuthEvent
from shared.domain.backup import BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.signup import Begin, Move, decide_signup
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.begin_tenant import begin_tenant
from shared.usecases.context import Control
from shared.usecases.revive_tenant import revived
from shared.usecases.rights import rights_of, terms
from shared.usecases.try_again import tried_again

__all__ = ["OperateTenant"]

RACES: Final = 5
_GONE: Final = frozenset({TenantStatus.CLOSING, TenantStatus.CLOSED})
_ON_ITS_WAY: Final = frozenset(
    {DatabaseStatus.BINDING, DatabaseStatus.MIGRATING, DatabaseStatus.REBINDING}
)

log = logging.getLogger("d1fleet")


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

    def retry(self, tenant_id: str, trace: str) -> Tenant:
        """Send a failed tenant, or one whose closing was stopped, on its way again.

        Its class's pool is tried again too. One that waits is woken; one that is settled stays as
        it is.
        """
        return self._until_written(tenant_id, trace, lambda: self._retry(tenant_id, trace))

    def _until_written(self, tenant_id: str, trace: str, attempt: Callable[[], Tenant]) -> Tenant:
        for _ in range(RACES):
            try:
                tenant = attempt()
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
                continue
            self._wake(tenant, trace)
            return tenant
        raise Transient(f"{tenant_id} is contended: try again", retry_after=1)

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

    def _retry(self, tenant_id: str, trace: str) -> Tenant:
        control, before = self.control, self._existing(tenant_id)
        if before.status is TenantStatus.CLOSING:
            return self._go_on_leaving(before, trace)
        if before.status is not TenantStatus.FAILED:
            return before
        # Or the tenant would be refused at once for the reason that was just mended.
        control.pools.unblock(before.class_)
        now = control.now()
        line = control.line("retried", why=before.reason or "", trace=trace)
        changes = [Change(before, revived(control, before), line)]
        restore = control.state.restore(before.restore_id) if before.restore_id else None
        if restore is not None and restore.status is RestoreStatus.REFUSED:
            changes.append(Change(restore, restore.moved(RestoreStatus.WANTED, now, reason=None)))
        also: list[Write] = []
        stopped = self._stopped_on_its_way(before, restore)
        if stopped is not None and stopped.retry_as is not None:
            change, also = tried_again(control, stopped, stopped.retry_as, line)
            changes.append(change)
        control.state.commit(*changes, also=also)
        if stopped is not None:
            control.enqueue("database", stopped.ulid, trace=trace)
        return self._existing(tenant_id)

    def _stopped_on_its_way(self, tenant: Tenant, restore: Restore | None) -> Database | None:
        """Return a database that stopped on its way to its tenant, restored or bound again."""
        ulid = tenant.database_ulid
        if ulid is None and restore is not None and restore.status is RestoreStatus.DONE:
            ulid = restore.database_ulid
        database = self.control.state.database(ulid) if ulid else None
        if database is None or database.status is not DatabaseStatus.QUARANTINED:
            return None
        return database if database.retry_as in _ON_ITS_WAY else None

    def _go_on_leaving(self, tenant: Tenant, trace: str) -> Tenant:
        """Let a closing go on that was stopped, from the step where it was."""
        control, now = self.control, self.control.now()
        ulid = tenant.database_ulid
        database = control.state.database(ulid) if ulid else None
        if database is None or database.status is not DatabaseStatus.QUARANTINED:
            return tenant
        retry_as = database.retry_as
        if retry_as is None and tenant.without_backup:
            # It is gone on D1, or can't be read: the operator wants no backup of it.
            retry_as = DatabaseStatus.UNBINDING
        if retry_as is None:
            raise Permanent(f"the database {database.name} stopped for good: {database.reason}")
        line = control.line("retried", why=database.reason or "", trace=trace)
        again = database.moved(retry_as, now, reason=None, retry_as=None)
        after = tenant.changed(now, held_up=None)
        refused = [
            backup
            for backup in control.state.backups_of(tenant.tenant_id)
            if backup.status is BackupStatus.REFUSED and backup.closing_id == tenant.closing_id
        ]
        control.state.commit(
            Change(database, again, line),
            Change(tenant, after, line),
            *(Change(each, each.moved(BackupStatus.WANTED, now, reason=None)) for each in refused),
        )
        control.enqueue("backup", *(each.backup_id for each in refused), trace=trace)
        return after

    def _existing(self, tenant_id: str) -> Tenant:
        tenant = self.control.state.tenant(tenant_id)
        if tenant is None:
            raise Permanent(f"there is no tenant {tenant_id}: see `d1fleet tenants list`")
        return tenant

    def _wake(self, tenant: Tenant, trace: str) -> None:
        if not tenant.settled:
            self.control.enqueue("tenant", tenant.tenant_id, trace=trace)
            self.control.enqueue("pool", tenant.class_, trace=trace)


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
