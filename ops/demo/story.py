"""What the demo does and tells, in order. Each step checks what it says."""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
from rich.console import Console
from rich.table import Table

from ops.context import Deployment
from ops.demo.leaving import Leaving
from ops.demo.senders import (
    AuthProvider,
    BillingProvider,
    Cloudflare,
    DemoFailed,
    SampleApp,
    wait_for,
)
from ops.demo.telling import Row, Teller
from ops.demo.vandalism import Vandalism
from shared.usecases.context import Control
from shared.usecases.overviews import pool_rows

__all__ = ["Story"]

WARM: Final = ("org_acme", "org_globex", "org_initech")
COLD: Final = "org_umbrella"


@dataclass
class Story:
    """Tell the demo on a running stack; `deployment` sees what its functions see."""

    console: Console
    stack: Mapping[str, Any]
    deployment: Deployment
    rows: list[Row] = field(default_factory=list)

    @property
    def control(self) -> Control:
        """Return what sees what the functions see."""
        return self.deployment.parts.control

    @property
    def tell(self) -> Teller:
        """Return what tells each step."""
        return Teller(self.console)

    def __call__(self) -> None:
        """Go through all of it.

        Raises:
            DemoFailed: something did not happen as it should have.
        """
        with httpx.Client(timeout=30) as http:
            auth = AuthProvider(
                http,
                f"{self.stack['webhooks_url']}/webhooks/auth/clerk",
                self.stack["secrets"]["auth/clerk"],
            )
            app = SampleApp(http, self.stack["app_url"])
            billing = BillingProvider(
                http,
                f"{self.stack['webhooks_url']}/webhooks/billing/standard",
                self.stack["secrets"]["billing/standard"],
            )
            place = self.stack["cloudflare"]
            account_url = f"{place['base_url']}/accounts/{place['account_id']}"
            cloudflare = Cloudflare(http, place["control_url"], account_url, place["api_token"])
            self._pool(cloudflare)
            self._warm(auth, app, cloudflare)
            self._refused(auth, app)
            self._cold(auth, app, cloudflare)
            self._isolated(app)
            Leaving(self.tell, self.control, auth, billing, app, cloudflare, self.rows)()
            Vandalism(self.tell, self.deployment, app, cloudflare)()
            self._summary()

    def _pool(self, cloudflare: Cloudflare) -> None:
        with self.tell.step("The pool fills: three databases created, bound, migrated, seen live"):
            wait_for("three ready databases", lambda: self._ready() >= len(WARM))
        self.tell.note(
            f"{cloudflare.calls()} Cloudflare calls so far, the fleet's own set-up included"
        )

    def _warm(self, auth: AuthProvider, app: SampleApp, cloudflare: Cloudflare) -> None:
        self.tell.rule("Cloudflare's API goes down: every call is answered 503")
        cloudflare.go_down()
        acme, globex, initech = WARM
        with self.tell.step(f"{acme} signs up, and the provider delivers the event three times"):
            kind, event_id, moment = "organization.created", f"msg_{acme}", datetime.now(UTC)
            self._signup(auth, app, acme, kind, event_id, "0 (API down)", at=moment)
            for _ in range(2):
                auth.send(kind, acme, event_id=event_id, updated_at=moment).expect(
                    200, status="duplicate"
                )
        for tenant_id in (globex, initech):
            with self.tell.step(f"{tenant_id} signs up, its events in the wrong order"):
                kind = "organization.updated"
                self._signup(auth, app, tenant_id, kind, f"msg_u_{tenant_id}", "0 (API down)")
                before = datetime.now(UTC) - timedelta(minutes=1)
                auth.send(
                    "organization.created",
                    tenant_id,
                    event_id=f"msg_c_{tenant_id}",
                    updated_at=before,
                ).expect(200, status="accepted")
        with self.tell.step("Each writes a note and reads it through env.DB_POOL.get(tenantId)"):
            for tenant_id in WARM:
                app.write(tenant_id, f"only {tenant_id} may read this")

    def _refused(self, auth: AuthProvider, app: SampleApp) -> None:
        with self.tell.step("Somebody forges a signup: 401, nothing stored"):
            forged = "whsec_" + base64.b64encode(b"not the provider's secret...").decode()
            auth.send(
                "organization.created", "org_mallory", event_id="msg_forged", secret=forged
            ).expect(401)
            if app.notes("org_mallory").status_code != 404:
                raise DemoFailed("a forged signup became a tenant")

    def _cold(self, auth: AuthProvider, app: SampleApp, cloudflare: Cloudflare) -> None:
        with self.tell.step(f"{COLD} signs up with the pool empty: pending"):
            started = time.monotonic()
            auth.send("organization.created", COLD, event_id=f"msg_{COLD}").expect(
                200, status="accepted", tenant_status="pending"
            )
            answered = time.monotonic() - started
        self.tell.rule("Cloudflare's API is back")
        before = cloudflare.calls()
        cloudflare.come_back()
        with self.tell.step(f"A database is made for {COLD}, and it goes live (the cold path)"):
            started = time.monotonic()
            wait_for(f"{COLD} live", lambda: app.is_live(COLD))
            live = time.monotonic() - started
            calls = cloudflare.calls() - before
            app.write(COLD, f"only {COLD} may read this")
        self.rows.append(Row(COLD, "cold", answered, answered + live, f"{calls}, refill included"))

    def _isolated(self, app: SampleApp) -> None:
        with self.tell.step("No tenant sees another's note"):
            for tenant_id in (*WARM, COLD):
                if app.read(tenant_id) != [f"only {tenant_id} may read this"]:
                    raise DemoFailed(f"{tenant_id} reads {app.read(tenant_id)}")

    def _signup(
        self,
        auth: AuthProvider,
        app: SampleApp,
        tenant_id: str,
        type_: str,
        event_id: str,
        calls: str,
        *,
        at: datetime | None = None,
    ) -> None:
        started = time.monotonic()
        auth.send(type_, tenant_id, event_id=event_id, updated_at=at).expect(
            200, status="accepted", tenant_status="activating"
        )
        answered = time.monotonic() - started
        wait_for(f"{tenant_id} live", lambda: app.is_live(tenant_id))
        live = time.monotonic() - started
        self.rows.append(Row(tenant_id, "warm", answered, live, calls))

    def _ready(self) -> int:
        return sum(row.ready for row in pool_rows(self.control))

    def _summary(self) -> None:
        table = Table(title="From the webhook to the first answer of the tenant's own database")
        for heading in ("tenant", "path", "webhook answered", "live after", "Cloudflare calls"):
            table.add_column(heading, justify="left")
        for row in self.rows:
            table.add_row(
                row.tenant_id, row.path, f"{row.answered:.2f} s", f"{row.live:.2f} s", row.calls
            )
        self.console.print(table)
