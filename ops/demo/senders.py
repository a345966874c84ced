"""The outsiders of the demo: auth and billing providers with their webhooks, users of the app."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import httpx

from shared.domain.signing import signed_headers

__all__ = [
    "Answer",
    "AuthProvider",
    "BillingProvider",
    "Cloudflare",
    "DemoFailed",
    "SampleApp",
    "wait_for",
]

PATIENCE: Final = 60.0


class DemoFailed(Exception):  # noqa: N818
    """Say in one line what did not happen as it should have."""


def wait_for(what: str, look: Callable[[], Any], *, seconds: float = PATIENCE) -> Any:
    """Look again and again until there is something to see; return it.

    Raises:
        DemoFailed: it did not come in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(0.02)
    raise DemoFailed(f"waited {seconds:.0f} s in vain: {what}")


@dataclass(frozen=True)
class Answer:
    """Hold what a webhook's door answered."""

    status_code: int
    body: Mapping[str, Any]

    def expect(self, status_code: int, **fields: Any) -> "Answer":
        """Return the answer if it is as expected.

        Raises:
            DemoFailed: it is not.
        """
        if self.status_code != status_code or any(
            self.body.get(name) != value for name, value in fields.items()
        ):
            raise DemoFailed(
                f"the webhook was answered {self.status_code} {json.dumps(self.body)}, "
                f"not {status_code} {json.dumps(fields)}"
            )
        return self


@dataclass(frozen=True)
class AuthProvider:
    """Send webhooks as Clerk does: JSON signed in Svix's headers."""

    http: httpx.Client
    url: str
    secret: str

    def send(
        self,
        type_: str,
        tenant_id: str,
        *,
        event_id: str,
        updated_at: datetime | None = None,
        secret: str | None = None,
    ) -> Answer:
        """Send one event; `secret` is the forger's, if it is one."""
        now = datetime.now(UTC)
        millis = int((updated_at or now).timestamp() * 1000)
        data = {
            "object": "organization",
            "id": tenant_id,
            "name": tenant_id.removeprefix("org_").capitalize(),
            "created_at": millis,
            "updated_at": millis,
        }
        body = json.dumps({"object": "event", "type": type_, "timestamp": millis, "data": data})
        signed = signed_headers(secret or self.secret, body.encode(), now, event_id)
        headers = {name.replace("webhook-", "svix-"): value for name, value in signed.items()}
        answer = self.http.post(
            self.url, content=body, headers={**headers, "content-type": "application/json"}
        )
        return Answer(answer.status_code, answer.json())


@dataclass(frozen=True)
class BillingProvider:
    """Send billing events in the documented shape, signed as Standard Webhooks."""

    http: httpx.Client
    url: str
    secret: str

    def send(self, type_: str, tenant_id: str, **data: Any) -> Answer:
        """Send one event of what happens now."""
        now = datetime.now(UTC)
        document = {
            "type": type_,
            "timestamp": now.isoformat(),
            "data": {"tenant_id": tenant_id, **data},
        }
        body = json.dumps(document)
        signed = signed_headers(self.secret, body.encode(), now, f"msg_{secrets.token_hex(8)}")
        answer = self.http.post(
            self.url, content=body, headers={**signed, "content-type": "application/json"}
        )
        return Answer(answer.status_code, answer.json())


@dataclass(frozen=True)
class SampleApp:
    """Use the sample app, as a tenant's users do."""

    http: httpx.Client
    url: str

    def notes(self, tenant_id: str) -> httpx.Response:
        """Ask for a tenant's notes."""
        return self.http.get(f"{self.url}/t/{tenant_id}/notes")

    def is_live(self, tenant_id: str) -> bool:
        """Say whether the tenant's database answers."""
        return self.notes(tenant_id).status_code == 200

    def is_suspended(self, tenant_id: str) -> bool:
        """Say whether the app asks for payment: `TenantSuspended`."""
        return self.notes(tenant_id).status_code == 402

    def write(self, tenant_id: str, text: str) -> None:
        """Write a note.

        Raises:
            DemoFailed: the app did not take it.
        """
        answer = self.http.post(f"{self.url}/t/{tenant_id}/notes", json={"text": text})
        if answer.status_code != 201:
            raise DemoFailed(f"the note of {tenant_id} was answered {answer.status_code}")

    def read(self, tenant_id: str) -> list[str]:
        """Return the texts of a tenant's notes."""
        return [note["text"] for note in self.notes(tenant_id).json()]


@dataclass(frozen=True)
class Cloudflare:
    """Play tricks on the emulated Cloudflare, and count what it was asked."""

    http: httpx.Client
    control_url: str
    account_url: str
    token: str

    def has_database(self, uuid: str) -> bool:
        """Say whether there is a D1 database of this uuid."""
        return self._ask("GET", f"d1/database/{uuid}").status_code == 200

    def create_database(self, name: str) -> None:
        """Create a database, as somebody at the dashboard does."""
        self._ask("POST", "d1/database", json={"name": name}).raise_for_status()

    def delete_database(self, uuid: str) -> None:
        """Delete a database, whoever it belongs to."""
        self._ask("DELETE", f"d1/database/{uuid}").raise_for_status()

    def query(self, uuid: str, sql: str) -> None:
        """Have SQL run on a database."""
        self._ask("POST", f"d1/database/{uuid}/query", json={"sql": sql}).raise_for_status()

    def drop_binding(self, script: str, name: str) -> None:
        """Take one binding away from a Worker, and keep the others."""
        path = f"workers/scripts/{script}/settings"
        bindings = self._ask("GET", path).raise_for_status().json()["result"]["bindings"]
        kept = [{"type": "inherit", "name": each["name"]} for each in bindings]
        settings = {"bindings": [each for each in kept if each["name"] != name]}
        files = {"settings": (None, json.dumps(settings), "application/json")}
        self._ask("PATCH", path, files=files).raise_for_status()

    def deploy_over(self, script: str) -> None:
        """Deploy a Worker that says hello in the place of another."""
        code = 'export default { fetch() { return new Response("Hello World!") } }'
        metadata = {"main_module": "i.js", "compatibility_date": "2026-04-01"}
        files = {
            "metadata": (None, json.dumps(metadata), "application/json"),
            "i.js": ("i.js", code, "application/javascript+module"),
        }
        self._ask("PUT", f"workers/scripts/{script}", files=files).raise_for_status()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token}"}
        return self.http.request(method, f"{self.account_url}/{path}", headers=headers, **more)

    def calls(self) -> int:
        """Return how many API calls were made so far."""
        return int(self.http.get(f"{self.control_url}/stats").json()["total"])

    def go_down(self) -> None:
        """Answer 503 to every call from now on."""
        fault = {"route": "*", "nth": "every", "do": "status", "status": 503}
        self._faults([fault])

    def come_back(self) -> None:
        """Answer as usual again."""
        self._faults([])

    def _faults(self, faults: list[dict[str, Any]]) -> None:
        self.http.post(f"{self.control_url}/faults", json=faults).raise_for_status()
