"""The second half of the demo: billing suspends, resumes and ends; what is gone comes back."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from ops.demo.senders import (
    AuthProvider,
    BillingProvider,
    Cloudflare,
    DemoFailed,
    SampleApp,
    wait_for,
)
from ops.demo.telling import Row, Teller
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.operate_restore import OperateRestore
from shared.usecases.overviews import pool_rows
from shared.usecases.tenant_closeup import tenant_closeup

__all__ = ["Leaving"]

PAYER: Final = "org_acme"
LEAVER: Final = "org_globex"


@dataclass
class Leaving:
    """Tell how tenants leave and come back; both are live and have a note."""

    tell: Teller
    control: Control
    auth: AuthProvider
    billing: BillingProvider
    app: SampleApp
    cloudflare: Cloudflare
    rows: list[Row] = field(default_factory=list)

    def __call__(self) -> None:
        """Go through all of it.

        Raises:
            DemoFailed: something did not happen as it should have.
        """
        self._quiet()
        self._payment()
        self._cancelled_and_revoked()
        before = {tenant_id: self._tenant(tenant_id) for tenant_id in (PAYER, LEAVER)}
        self._cancelled_for_good(before)
        self._restored(before[LEAVER])
        self._again(before[PAYER])

    def _quiet(self) -> None:
        """Wait until the pool is full again, so that only what is told about is counted."""
        wait_for(
            "a full pool", lambda: all(row.ready >= row.target for row in pool_rows(self.control))
        )

    def _payment(self) -> None:
        before = self.cloudflare.calls()
        with self.tell.step(f"A payment of {PAYER} fails: it is served on, for its grace"):
            self.billing.send("billing.past_due", PAYER).expect(200, status="accepted")
            self._notes(PAYER)
        self.tell.note(self._outlook(PAYER))
        with self.tell.step("Billing gives up on it: the app is told, and answers 402"):
            self.billing.send("billing.suspended", PAYER).expect(200, tenant_status="suspended")
            wait_for("402", lambda: self.app.is_suspended(PAYER))
        with self.tell.step("The payment is mended: served again, its note is there"):
            self.billing.send("billing.active", PAYER).expect(200, status="accepted")
            wait_for("served again", lambda: self.app.is_live(PAYER))
            self._notes(PAYER)
        calls = self.cloudflare.calls() - before
        self.tell.note(f"{calls} Cloudflare calls for suspending and resuming")
        if calls:
            raise DemoFailed(f"suspending and resuming took {calls} Cloudflare calls, not 0")

    def _cancelled_and_revoked(self) -> None:
        with self.tell.step(f"{PAYER} cancels at the end of its period: served until then"):
            ends_at = (datetime.now(UTC) + timedelta(days=20)).isoformat()
            self.billing.send("billing.end_scheduled", PAYER, ends_at=ends_at).expect(200)
            self._notes(PAYER)
        self.tell.note(self._outlook(PAYER))
        with self.tell.step("It thinks better of it: nothing ends"):
            self.billing.send("billing.active", PAYER).expect(200, status="accepted")
            if tenant_closeup(self.control, PAYER).outlook.at is not None:
                raise DemoFailed(f"{PAYER} still ends: {self._outlook(PAYER)}")

    def _cancelled_for_good(self, before: dict[str, Tenant]) -> None:
        calls = self.cloudflare.calls()
        with self.tell.step(f"{PAYER} and {LEAVER} cancel for good: the app answers 402 at once"):
            for tenant_id in before:
                self.billing.send("billing.ended", tenant_id).expect(200, tenant_status="closing")
            for tenant_id in before:
                wait_for("402", partial(self.app.is_suspended, tenant_id))
        self.tell.note(self._outlook(PAYER))
        with self.tell.step("The grace passes: backup, proof, unbound, seen gone, deleted, closed"):
            for tenant_id in before:
                wait_for(f"{tenant_id} closed", partial(self._is_closed, tenant_id))
        calls = self.cloudflare.calls() - calls
        self.tell.note(f"{calls} Cloudflare calls for two teardowns: each backed up and proven")
        with self.tell.step("Cloudflare has no such databases any more, the app answers 404"):
            for tenant_id, tenant in before.items():
                if self.cloudflare.has_database(tenant.database_id or ""):
                    raise DemoFailed(f"the database of {tenant_id} is still there")
                if self.app.notes(tenant_id).status_code != 404:
                    raise DemoFailed(f"the app still answers for {tenant_id}")
        self.tell.note(self._outlook(LEAVER))

    def _restored(self, before: Tenant) -> None:
        calls, started = self.cloudflare.calls(), time.monotonic()
        with self.tell.step(f"{LEAVER} is restored from its backup, and its note is there"):
            OperateRestore(self.control).restore(
                LEAVER, backup_id=None, detached=False, replace=False, trace="demo"
            )
            answered = time.monotonic() - started
            wait_for(f"{LEAVER} live", lambda: self.app.is_live(LEAVER))
            live = time.monotonic() - started
            self._notes(LEAVER)
            if self._tenant(LEAVER).database_id == before.database_id:
                raise DemoFailed(f"{LEAVER} has a database that was deleted")
        calls = self.cloudflare.calls() - calls
        self.rows.append(Row(LEAVER, "restored", answered, live, str(calls)))

    def _again(self, before: Tenant) -> None:
        with self.tell.step(f"{PAYER} signs up again: a new life, and nothing old is seen"):
            started = time.monotonic()
            self.auth.send("organization.created", PAYER, event_id=f"msg_again_{PAYER}").expect(
                200, status="accepted", tenant_status="activating"
            )
            answered = time.monotonic() - started
            wait_for(f"{PAYER} live", lambda: self.app.is_live(PAYER))
            live = time.monotonic() - started
            if self.app.read(PAYER) or self._tenant(PAYER).episode != before.episode + 1:
                raise DemoFailed(f"{PAYER} sees what its earlier life left")
        self.rows.append(Row(PAYER, "again", answered, live, "0"))

    def _tenant(self, tenant_id: str) -> Tenant:
        tenant = self.control.state.tenant(tenant_id)
        if tenant is None:
            raise DemoFailed(f"there is no {tenant_id}")
        return tenant

    def _is_closed(self, tenant_id: str) -> bool:
        tenant = self._tenant(tenant_id)
        return tenant.status is TenantStatus.CLOSED and tenant.settled

    def _notes(self, tenant_id: str) -> None:
        if self.app.read(tenant_id) != [f"only {tenant_id} may read this"]:
            raise DemoFailed(f"{tenant_id} reads {self.app.read(tenant_id)}")

    def _outlook(self, tenant_id: str) -> str:
        seen = tenant_closeup(self.control, tenant_id).outlook
        when = f", {seen.at:%Y-%m-%d %H:%M:%S}Z" if seen.at else ""
        return f"d1fleet tenants show {tenant_id}: {seen.what}" + (
            f"; next: {seen.next}{when}" if seen.next else ""
        )
