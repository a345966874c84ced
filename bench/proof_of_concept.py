"""The reference: the order of calls of the proof of concept that people used before, one by one.

Create the database; run its migration as one query; get the settings of the app's Worker; patch the
whole map of bindings; redeploy; ask the Worker until it answers from the new database. Nothing is
prepared, nothing shared, nothing verified; and the Worker is the app's own.
"""

import json
import time
from pathlib import Path
from typing import Any, Final, Self
from uuid import uuid4

import httpx

from bench.fleet import wait_for

__all__ = ["CALLS", "ProofOfConcept"]

ROOT: Final = Path(__file__).resolve().parents[1]
SCRIPT: Final = "poc"
CALLS: Final = 5
"""REST calls for a tenant."""
PATIENCE: Final = 60.0
CODE: Final = """
export default {
  async fetch(request, env) {
    const database = env[new URL(request.url).pathname.slice(1)];
    if (database === undefined) return new Response("not bound yet", { status: 503 });
    const { results } = await database.prepare("SELECT id, text, created_at FROM notes").all();
    return Response.json(results);
  },
};
"""


class ProofOfConcept:
    """Give tenants a database in the proof of concept's way, on an emulator's account."""

    def __init__(self, cloudflare: dict[str, str]) -> None:
        self._http = httpx.Client(
            base_url=f"{cloudflare['base_url']}/accounts/{cloudflare['account_id']}",
            headers={"authorization": f"Bearer {cloudflare['api_token']}"},
            timeout=60,
        )
        self._address = f"{cloudflare['workers_url']}/{SCRIPT}"
        migrations = sorted((ROOT / "examples" / "migrations").glob("*.sql"))
        self._schema = "\n".join(file.read_text(encoding="utf-8") for file in migrations)
        self._script = f"/workers/scripts/{SCRIPT}"

    def __enter__(self) -> Self:
        """Deploy the app's Worker, which has no database yet."""
        self._upload([])
        self._call("POST", f"{self._script}/subdomain", json={"enabled": True})
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def sign_up(self) -> float:
        """Give one more tenant a database; return the seconds until the Worker answers from it."""
        name = f"tenant-{uuid4().hex[:12]}"
        binding = name.upper().replace("-", "_")
        begun = time.perf_counter()
        made = self._call("POST", "/d1/database", json={"name": name})
        self._call("POST", f"/d1/database/{made['uuid']}/query", json={"sql": self._schema})
        settings = self._call("GET", f"{self._script}/settings")
        bindings = [
            *settings["bindings"],
            {"type": "d1", "name": binding, "id": made["uuid"]},
        ]
        whole = json.dumps({"bindings": bindings})
        self._call(
            "PATCH",
            f"{self._script}/settings",
            files={"settings": (None, whole, "application/json")},
        )
        self._upload(bindings)
        url = f"{self._address}/{binding}"
        return wait_for(self._http, url, since=begun, patience=PATIENCE)

    def _upload(self, bindings: list[dict[str, Any]]) -> None:
        metadata = {
            "main_module": "poc.js",
            "compatibility_date": "2026-04-01",
            "bindings": bindings,
        }
        self._call(
            "PUT",
            self._script,
            files={
                "metadata": (None, json.dumps(metadata), "application/json"),
                "poc.js": ("poc.js", CODE, "application/javascript+module"),
            },
        )

    def _call(self, method: str, path: str, **content: Any) -> Any:
        answer = self._http.request(method, path, **content)
        if answer.is_error:
            raise RuntimeError(f"the reference's {method} {path} failed: {answer.text[:300]}")
        return answer.json()["result"]
