"""What somebody else may do to a pool Worker, by the official SDK and wrangler, and how it shows.

Nothing here goes through our own client: the account sees what a person at a dashboard would do.
"""

import json
import os
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudflare
import httpx

from local.cloudflare import Emulator
from shared.domain.names import is_binding, router_script
from shared.domain.tenant import TenantStatus
from shared.usecases.sweep import Sweep, SweepReport
from tests.support.events import signup
from tests.usecases.test_signup_path import accept, status
from tests.usecases.world import World

ROOT = Path(__file__).parents[2]
HELLO = 'export default { fetch() { return new Response("Hello World!") } }'
MODULE = "application/javascript+module"


@dataclass
class Account:
    """Hold the account of a world as others see it, with the sample app that uses the pool."""

    world: World
    emulator: Emulator
    sdk: cloudflare.Cloudflare
    folder: Path
    http: httpx.Client
    app: str = field(init=False)

    def __post_init__(self) -> None:
        self.app = f"{self.world.control.settings.fleet}-app"
        service = {"type": "service", "name": "DB_POOL", "service": self.router}
        self.put(
            self.app,
            (ROOT / "examples" / "app" / "src" / "index.js").read_text(),
            bindings=[service | {"entrypoint": "DbPool"}],
            compatibility_flags=["enhanced_error_serialization"],
        )
        self.sdk.workers.scripts.subdomain.create(
            self.app, account_id=self.id, enabled=True, previews_enabled=False
        )
        assert self.emulator.settle()

    @property
    def id(self) -> str:
        return self.emulator.account.account_id

    @property
    def router(self) -> str:
        return router_script(self.world.control.settings.fleet)

    def put(self, script: str, code: str, **metadata: Any) -> None:
        """Upload a Worker as the SDK does it."""
        self.sdk.workers.scripts.update(
            script,
            account_id=self.id,
            metadata={"main_module": "i.js", "compatibility_date": "2026-04-01", **metadata},
            files=[("i.js", code.encode(), MODULE)],
        )

    def wrangler(self, script: str, *arguments: str, code: str = HELLO, **config: Any) -> str:
        """Run wrangler in a project that has a pool Worker's name."""
        (self.folder / "i.js").write_text(code)
        whole = {"name": script, "main": "i.js", "compatibility_date": "2026-04-01", **config}
        (self.folder / "wrangler.json").write_text(json.dumps(whole))
        done = subprocess.run(
            [str(ROOT / "node_modules" / ".bin" / "wrangler"), *arguments],
            cwd=self.folder,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "CLOUDFLARE_API_BASE_URL": self.emulator.base_url,
                "CLOUDFLARE_API_TOKEN": self.emulator.api_token,
                "CLOUDFLARE_ACCOUNT_ID": self.id,
                "WRANGLER_SEND_METRICS": "false",
                "WRANGLER_LOG_PATH": str(self.folder / "logs"),
                "CI": "1",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def settings(self, script: str) -> list[dict[str, Any]]:
        seen = self.sdk.workers.scripts.script_and_version_settings.get(script, account_id=self.id)
        return [binding.to_dict() for binding in seen.bindings or []]

    def edit(self, script: str, *bindings: dict[str, Any], without: str = "") -> None:
        """Change bindings by hand: all others are inherited, but one that is left out."""
        named = {str(binding["name"]) for binding in bindings} | {without}
        kept = [
            {"type": "inherit", "name": binding["name"]}
            for binding in self.settings(script)
            if binding["name"] not in named
        ]
        self.sdk.workers.scripts.script_and_version_settings.edit(
            script, account_id=self.id, settings={"bindings": [*kept, *bindings]}
        )

    def secret(self, script: str, name: str, text: str) -> None:
        self.sdk.workers.scripts.secrets.update(
            script, account_id=self.id, name=name, text=text, type="secret_text"
        )

    def deploy(self, script: str, *shares: tuple[str, float]) -> None:
        """Deploy versions, each with its percentage."""
        self.sdk.workers.scripts.deployments.create(
            script,
            account_id=self.id,
            strategy="percentage",
            versions=[{"version_id": version, "percentage": share} for version, share in shares],
        )

    def shares(self, script: str) -> list[tuple[str, float]]:
        """Return what is deployed: versions and their percentages."""
        # The SDK reads this list as pages of items; its `deployments` are only in the raw answer.
        deployments = self.sdk.workers.scripts.deployments.with_raw_response
        answer = json.loads(deployments.list(script, account_id=self.id).read())
        active = answer["result"]["deployments"][0]["versions"]
        return [(each["version_id"], each["percentage"]) for each in active]

    def newest(self, script: str) -> str:
        """Return the id of a script's newest version."""
        listed = self.sdk.workers.scripts.versions.list(script, account_id=self.id)
        found = next(iter(listed))
        assert found.id is not None
        return found.id

    def value_of(self, script: str, name: str) -> dict[str, Any] | None:
        """Return a binding with its secret value, which only the emulator's own store shows."""
        return self.emulator.scripts.deployed(script).binding(name)

    def databases(self, script: str) -> dict[str, str]:
        return {
            binding["name"]: binding["database_id"]
            for binding in self.settings(script)
            if is_binding(binding["name"])
        }

    # What the tenants see

    def notes(self, tenant: str) -> httpx.Response:
        return self.http.get(self.url(tenant), timeout=30)

    def url(self, tenant: str) -> str:
        return f"{self.emulator.workers_url}/{self.app}/t/{tenant}/notes"

    def add_note(self, tenant: str, text: str) -> None:
        answer = self.http.post(self.url(tenant), json={"text": text}, timeout=30)
        assert answer.status_code == 201, answer.text

    @contextmanager
    def watched(self, *tenants: str) -> Iterator[dict[str, Counter[int]]]:
        """Ask for the notes of tenants over and over; give the statuses that came back."""
        seen: dict[str, Counter[int]] = {tenant: Counter() for tenant in tenants}
        ended = threading.Event()

        def ask(tenant: str) -> None:
            while not ended.is_set():
                seen[tenant][self.notes(tenant).status_code] += 1

        threads = [threading.Thread(target=ask, args=(tenant,)) for tenant in tenants]
        for thread in threads:
            thread.start()
        try:
            yield seen
        finally:
            ended.set()
            for thread in threads:
                thread.join(60)

    # What the control plane does

    def tenants(self, *ids: str) -> None:
        """Sign tenants up and give each a note of its own."""
        for tenant in ids:
            self.world.run()
            accept(self.world).signup(
                signup(tenant, event_id=f"evt_{tenant}"), body_sha256=tenant, trace="t"
            )
            self.world.run(lambda tenant=tenant: status(self.world, tenant) is TenantStatus.ACTIVE)
            self.add_note(tenant, f"of {tenant}")
        self.world.run()

    def shard_of(self, tenant: str) -> str:
        record = self.world.control.state.tenant(tenant)
        assert record is not None
        database = self.world.control.state.database(record.database_ulid or "")
        assert database is not None
        return str(database.shard)

    def sweep(self, minutes: float = 6) -> SweepReport:
        """Let time pass and sweep, once everything that was deployed runs."""
        assert self.emulator.settle()
        self.world.clock.pass_(minutes=minutes)
        return Sweep(self.world.control, self.world.outside)("sweep")

    def mend(self, minutes: float = 6) -> SweepReport:
        """Sweep, and let the publishers do what it asked for."""
        report = self.sweep(minutes)
        self.world.run()
        assert self.emulator.settle()
        return report
