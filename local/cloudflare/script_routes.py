"""Routes of scripts: upload, settings, secrets, subdomain, content, deletion, look-ups."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from flask import Blueprint, Response, request

from local.cloudflare.account import Account
from local.cloudflare.bindings import SECRET_TYPES, public
from local.cloudflare.doors import doors
from local.cloudflare.envelope import ApiError, body_object, ok
from local.cloudflare.models import Version
from local.cloudflare.modules import ModuleFiles
from local.cloudflare.script_views import script_view, service_view, settings_view
from local.cloudflare.scripts import Scripts
from local.cloudflare.uploads import read_code, read_part

__all__ = ["ScriptDoor", "content_response", "script_blueprint", "source_of_request"]

_BASE = "/accounts/<a>/workers"


def source_of_request() -> str:
    """Say who deploys, as Cloudflare records it."""
    return "wrangler" if request.user_agent.string.startswith("wrangler/") else "api"


def content_response(version: Version, files: ModuleFiles) -> Response:
    """Answer with the modules of a version, as a multipart body."""
    if version.code.syntax == "service-worker":
        body = files.get(version.code.modules[0].sha256)
        return Response(body, content_type="application/javascript")
    boundary = uuid4().hex
    chunks: list[bytes] = []
    for module in version.code.modules:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="{module.name}"; filename="{module.name}"\r\n'
            f"Content-Type: {module.content_type}\r\n\r\n"
        )
        chunks += [head.encode(), files.get(module.sha256), b"\r\n"]
    chunks.append(f"--{boundary}--\r\n".encode())
    answer = Response(b"".join(chunks), content_type=f"multipart/form-data; boundary={boundary}")
    answer.headers["cf-entrypoint"] = version.code.modules[0].name
    return answer


def script_blueprint(account: Account, scripts: Scripts, files: ModuleFiles) -> Blueprint:
    """Build the routes under `/accounts/{a}/workers` but for versions and deployments."""
    door = ScriptDoor(account, scripts, files)
    return doors(
        "scripts",
        {
            f"GET {_BASE}/scripts": door.list_scripts,
            f"GET {_BASE}/scripts-search": door.list_scripts,
            f"PUT {_BASE}/scripts/<n>": door.put_script,
            f"GET {_BASE}/scripts/<n>": door.get_content,
            f"GET {_BASE}/scripts/<n>/content": door.get_content,
            f"GET {_BASE}/scripts/<n>/content/v2": door.get_content,
            f"PUT {_BASE}/scripts/<n>/content": door.put_content,
            f"DELETE {_BASE}/scripts/<n>": door.delete_script,
            f"GET {_BASE}/scripts/<n>/settings": door.get_settings,
            f"PATCH {_BASE}/scripts/<n>/settings": door.patch_settings,
            f"GET {_BASE}/scripts/<n>/bindings": door.get_bindings,
            f"GET {_BASE}/scripts/<n>/script-settings": door.get_script_settings,
            f"PATCH {_BASE}/scripts/<n>/script-settings": door.patch_script_settings,
            f"GET {_BASE}/scripts/<n>/secrets": door.list_secrets,
            f"GET {_BASE}/scripts/<n>/secrets/<s>": door.get_secret,
            f"PUT {_BASE}/scripts/<n>/secrets": door.put_secret,
            f"DELETE {_BASE}/scripts/<n>/secrets/<s>": door.delete_secret,
            f"GET {_BASE}/scripts/<n>/subdomain": door.get_script_subdomain,
            f"POST {_BASE}/scripts/<n>/subdomain": door.post_script_subdomain,
            f"DELETE {_BASE}/scripts/<n>/subdomain": door.delete_script_subdomain,
            f"GET {_BASE}/scripts/<n>/schedules": door.get_schedules,
            f"PUT {_BASE}/scripts/<n>/schedules": door.put_schedules,
            f"GET {_BASE}/services/<n>": door.get_service,
            f"DELETE {_BASE}/services/<n>": door.delete_script,
            f"GET {_BASE}/subdomain": door.get_subdomain,
            f"PUT {_BASE}/subdomain": door.put_subdomain,
        },
    )


@dataclass(frozen=True)
class ScriptDoor:
    """Answer for the scripts of the account, or of one dispatch namespace."""

    account: Account
    scripts: Scripts
    files: ModuleFiles

    def list_scripts(self) -> Response:
        with self.account.lock:
            wanted = request.args.get("name", "")
            return ok(
                [
                    script_view(script, self.scripts.deployed(name))
                    for name, script in sorted(self.scripts.by_name.items())
                    if wanted in name
                ]
            )

    def put_script(self, n: str) -> Response:
        metadata = read_part(request, "metadata")
        version = self.scripts.upload(
            n,
            metadata,
            read_code(request, metadata, self.files),
            source=source_of_request(),
            deploy=True,
            strict=request.args.get("bindings_inherit") == "strict",
        )
        return ok(script_view(self.scripts.get(n), version))

    def get_content(self, n: str) -> Response:
        return content_response(self.scripts.deployed(n), self.files)

    def put_content(self, n: str) -> Response:
        metadata = read_part(request, "metadata")
        code = read_code(request, metadata, self.files)
        version = self.scripts.replace_code(n, code, source=source_of_request())
        return ok(script_view(self.scripts.get(n), version))

    def delete_script(self, n: str) -> Response:
        self.scripts.delete(n, force=request.args.get("force") == "true")
        return ok(None)

    def get_settings(self, n: str) -> Response:
        with self.account.lock:
            return ok(settings_view(self.scripts.get(n), self.scripts.latest(n)))

    def patch_settings(self, n: str) -> Response:
        patch = read_part(request, "settings")
        self.scripts.patch_settings(n, patch, source=source_of_request())
        with self.account.lock:
            return ok(settings_view(self.scripts.get(n), self.scripts.latest(n)))

    def get_bindings(self, n: str) -> Response:
        return ok([public(item) for item in self.scripts.latest(n).bindings])

    def get_script_settings(self, n: str) -> Response:
        return ok(_unversioned(self.scripts.get(n).unversioned))

    def patch_script_settings(self, n: str) -> Response:
        patch = body_object(request.get_data(), code=10001)
        return ok(_unversioned(self.scripts.set_unversioned(n, patch).unversioned))

    def list_secrets(self, n: str) -> Response:
        bindings = self.scripts.latest(n).bindings
        return ok([public(item) for item in bindings if item["type"] in SECRET_TYPES])

    def get_secret(self, n: str, s: str) -> Response:
        item = self.scripts.latest(n).binding(s)
        if item is None or item["type"] not in SECRET_TYPES:
            raise ApiError(404, 10056, f"Binding {s} not found")
        return ok(public(item))

    def put_secret(self, n: str) -> Response:
        secret = body_object(request.get_data(), code=10001)
        if secret.get("type") not in SECRET_TYPES:
            raise ApiError(400, 10021, "a secret's type must be secret_text or secret_key")
        self.scripts.set_secret(n, secret, source=source_of_request())
        return ok(public(secret))

    def delete_secret(self, n: str, s: str) -> Response:
        self.scripts.set_secret(n, s, source=source_of_request())
        return ok(None)

    def get_script_subdomain(self, n: str) -> Response:
        script = self.scripts.get(n)
        return ok({"enabled": script.subdomain, "previews_enabled": script.previews})

    def post_script_subdomain(self, n: str) -> Response:
        body = body_object(request.get_data(), code=10001)
        enabled = body.get("enabled")
        if not isinstance(enabled, bool):
            raise ApiError(400, 10021, "enabled must be true or false")
        previews = body.get("previews_enabled", enabled)
        if not isinstance(previews, bool):
            raise ApiError(400, 10021, "previews_enabled must be true or false")
        if enabled and self.account.subdomain is None:
            raise ApiError(
                400, 10063, "You need a workers.dev subdomain to enable this Worker on it"
            )
        script = self.scripts.update(n, subdomain=enabled, previews=previews)
        return ok({"enabled": script.subdomain, "previews_enabled": script.previews})

    def delete_script_subdomain(self, n: str) -> Response:
        self.scripts.update(n, subdomain=False, previews=False)
        return ok({"enabled": False, "previews_enabled": False})

    def get_schedules(self, n: str) -> Response:
        return ok({"schedules": self.scripts.get(n).schedules})

    def put_schedules(self, n: str) -> Response:
        listed = json.loads(request.get_data() or b"[]")
        if not isinstance(listed, list):
            raise ApiError(400, 10021, "schedules must be a list")
        return ok({"schedules": self.scripts.update(n, schedules=listed).schedules})

    def get_service(self, n: str) -> Response:
        with self.account.lock:
            if n not in self.scripts.by_name:
                raise ApiError(
                    404, 10090, f"This Worker does not exist on your self.account. ({n})"
                )
            return ok(service_view(self.scripts.get(n), self.scripts.deployed(n)))

    def get_subdomain(self) -> Response:
        if self.account.subdomain is None:
            raise ApiError(404, 10007, "You do not have a workers.dev subdomain.")
        return ok({"subdomain": self.account.subdomain})

    def put_subdomain(self) -> Response:
        wanted = body_object(request.get_data(), code=10001).get("subdomain")
        if not isinstance(wanted, str) or not wanted:
            raise ApiError(400, 10021, "subdomain must be a string")
        self.account.subdomain = wanted
        return ok({"subdomain": wanted})


def _unversioned(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "logpush": fields.get("logpush", False),
        "observability": fields.get("observability") or {"enabled": False},
        "tags": fields.get("tags"),
        "tail_consumers": fields.get("tail_consumers"),
    }
