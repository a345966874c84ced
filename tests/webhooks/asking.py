"""How the tests ask at the doors, and what they make of a refusal."""

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


def asked_raw(stage: Any, path: str, method: str, headers: dict[str, str], body: bytes) -> Any:
    """Ask with headers that no client would let through."""
    environ = {
        ("" if name.startswith("content-") and "encoding" not in name else "HTTP_")
        + name.upper().replace("-", "_"): value
        for name, value in headers.items()
    }
    return stage.client.open(path, method=method, data=body, environ_overrides=environ)


def refuses(response: Any) -> bool:
    """Say whether an answer is a refusal in JSON, and not the one that closes an endpoint."""
    refused = 400 <= response.status_code < 500 and response.status_code != 410
    return refused and response.content_type == "application/json"
