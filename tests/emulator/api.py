"""A client of the emulator for its own tests: terse, and it hides nothing of the wire."""

import json
from typing import Any

import httpx

from local.cloudflare import Emulator

__all__ = ["Api"]


class Api:
    """Speak to an emulator's API of one account, over HTTP or in the process."""

    def __init__(self, emulator: Emulator, *, wsgi: bool = False) -> None:
        self.emulator = emulator
        origin = "http://emulator" if wsgi else emulator.base_url.removesuffix("/client/v4")
        self.client = httpx.Client(
            base_url=f"{origin}/client/v4/accounts/{emulator.account.account_id}",
            headers={"Authorization": f"Bearer {emulator.api_token}"},
            transport=httpx.WSGITransport(emulator.app) if wsgi else None,
            timeout=30,
        )
        self.control = httpx.Client(
            base_url=f"{origin}/__emulator",
            transport=httpx.WSGITransport(emulator.app) if wsgi else None,
        )

    def close(self) -> None:
        self.client.close()
        self.control.close()

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, path, **options)

    def result(self, method: str, path: str, **options: Any) -> Any:
        answer = self(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()["result"]

    def refusal(self, method: str, path: str, **options: Any) -> tuple[int, int]:
        """Return status and code of an answer that must be an error."""
        answer = self(method, path, **options)
        body = answer.json()
        assert body["success"] is False, body
        assert body["result"] is None
        return answer.status_code, body["errors"][0]["code"]

    def database(self, name: str) -> str:
        return str(self.result("POST", "/d1/database", json={"name": name})["uuid"])

    def query(self, uuid: str, sql: str, params: list[Any] | None = None) -> list[Any]:
        body = {"sql": sql, "params": params or []}
        answers = self.result("POST", f"/d1/database/{uuid}/query", json=body)
        return [answer["results"] for answer in answers]

    def upload(
        self,
        name: str,
        code: str,
        metadata: dict[str, Any] | None = None,
        *,
        verb: str = "PUT",
        path: str = "",
        strict: bool = False,
    ) -> httpx.Response:
        fields = {"main_module": "i.js", "compatibility_date": "2026-04-01", **(metadata or {})}
        return self(
            verb,
            f"/workers/scripts/{name}{path}",
            params={"bindings_inherit": "strict"} if strict else {},
            files={
                "metadata": (None, json.dumps(fields), "application/json"),
                "i.js": ("i.js", code, "application/javascript+module"),
            },
        )

    def deploy(self, name: str, code: str, *bindings: dict[str, Any], **metadata: Any) -> None:
        """Upload a Worker with a public address and wait until it runs."""
        answer = self.upload(name, code, {"bindings": list(bindings), **metadata})
        assert answer.is_success, answer.text
        self.result("POST", f"/workers/scripts/{name}/subdomain", json={"enabled": True})
        assert self.emulator.settle()

    def patch(self, name: str, settings: dict[str, Any]) -> httpx.Response:
        part = (None, json.dumps(settings), "application/json")
        return self("PATCH", f"/workers/scripts/{name}/settings", files={"settings": part})

    def bindings(self, name: str) -> list[dict[str, Any]]:
        listed = self.result("GET", f"/workers/scripts/{name}/settings")["bindings"]
        assert isinstance(listed, list)
        return listed

    def worker(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.emulator.workers_url}/{path}", timeout=30)
