"""How the tests ask at the door of the auth providers."""

from typing import Any

PATH = "/webhooks/auth/clerk"
MIB = 1024 * 1024


def post(stage: Any, body: bytes, headers: dict[str, str], path: str = PATH, **more: Any) -> Any:
    return stage.client.open(path, method="POST", data=body, headers=headers, **more)


def error_of(response: Any) -> str:
    assert response.content_type == "application/json"
    assert set(response.json) == {"error"}
    assert set(response.json["error"]) == {"name", "message"}
    name: str = response.json["error"]["name"]
    return name
