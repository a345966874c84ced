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


def refused_in_order(
    stage: Any, path: str, strange: str, good: bytes, signed: dict[str, str], forged: dict[str, str]
) -> None:
    """Mend a request's faults one by one, from 404 to 401, until it is taken; see each refused."""
    big = b" " * (MIB + 1)
    bare = {"Content-Type": "text/plain"}
    json_type = {"Content-Type": "application/json"}
    steps: list[tuple[int, dict[str, Any]]] = [
        (404, {"path": strange, "method": "PUT", "data": big, "headers": bare}),
        (405, {"path": path, "method": "PUT", "data": big, "headers": bare}),
        (415, {"path": path, "method": "POST", "data": big, "headers": bare}),
        (413, {"path": path, "method": "POST", "data": big, "headers": json_type}),
        (400, {"path": path, "method": "POST", "data": b"{", "headers": forged}),
        (400, {"path": path, "method": "POST", "data": good, "headers": json_type}),
        (401, {"path": path, "method": "POST", "data": good, "headers": forged}),
    ]
    for status, request in steps:
        response = stage.client.open(**request)
        assert (response.status_code, bool(error_of(response))) == (status, True)
    assert stage.inbox.empty
    assert post(stage, good, signed, path).status_code == 200


def refuses(response: Any) -> bool:
    """Say whether an answer is a refusal in JSON, and not the one that closes an endpoint."""
    refused = 400 <= response.status_code < 500 and response.status_code != 410
    return refused and response.content_type == "application/json"
