"""The rules of a Worker's bindings: what an upload may say, and what becomes of it."""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from local.cloudflare.envelope import ApiError
from local.cloudflare.models import Binding, Version

__all__ = ["KEPT_BY_DEFAULT", "SECRET_TYPES", "Resolver", "public"]

SECRET_TYPES = frozenset({"secret_text", "secret_key"})
# wrangler's deploy names no kinds to keep, and secrets survive it: the server keeps them.
KEPT_BY_DEFAULT = SECRET_TYPES
MOST_BINDINGS = 5_000
MOST_METADATA = 1_000_000
PER_BINDING = 150  # Cloudflare's own estimate of what a binding takes of the metadata
MOST_VARIABLES = 128
MOST_VARIABLE_BYTES = 5 * 1024

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_VARIABLES = frozenset({"plain_text", "secret_text", "json"})
_WRITE_ONLY = frozenset({"text", "key_base64", "key_jwk"})
_REQUIRED: dict[str, tuple[str, ...]] = {
    "ai": (),
    "analytics_engine": ("dataset",),
    "assets": (),
    "browser": (),
    "d1": (),
    "data_blob": ("part",),
    "dispatch_namespace": ("namespace",),
    "durable_object_namespace": ("class_name",),
    "hyperdrive": ("id",),
    "images": (),
    "json": ("json",),
    "kv_namespace": ("namespace_id",),
    "mtls_certificate": ("certificate_id",),
    "pipelines": ("pipeline",),
    "plain_text": ("text",),
    "queue": ("queue_name",),
    "r2_bucket": ("bucket_name",),
    "ratelimit": ("namespace_id",),
    "secret_key": (),
    "secret_text": ("text",),
    "secrets_store_secret": ("store_id", "secret_name"),
    "send_email": (),
    "service": ("service",),
    "text_blob": ("part",),
    "vectorize": ("index_name",),
    "version_metadata": (),
    "wasm_module": ("part",),
    "worker_loader": (),
    "workflow": ("workflow_name",),
}


def public(item: Binding) -> Binding:
    """Return a binding as the API shows it: without the value of a secret."""
    if item["type"] in SECRET_TYPES:
        return {key: value for key, value in item.items() if key not in _WRITE_ONLY}
    return dict(item)


@dataclass(frozen=True)
class Resolver:
    """Turn the bindings of a request into those of a new version.

    `previous` is the version they may inherit from; `version` finds others of the script by id.
    `database_exists`, `service_exists` and `namespace_exists` ask the account.
    """

    previous: Version | None
    database_exists: Callable[[str], bool]
    service_exists: Callable[[str], bool]
    namespace_exists: Callable[[str], bool]
    version: Callable[[str], Version | None] = field(default=lambda _: None)
    strict: bool = False

    def resolve(self, requested: Any, keep_types: Collection[str] = ()) -> tuple[Binding, ...]:
        """Return the bindings of the new version: the requested ones, then the kept ones.

        Raises:
            ApiError: 400 with the code that Cloudflare gives the first fault.
        """
        if not isinstance(requested, list):
            raise _invalid("bindings must be a list")
        found: dict[str, Binding] = {}
        for item in requested:
            binding = self._one(item)
            if binding is None:
                continue
            name = binding["name"]
            if name in found:
                raise _invalid(f"binding name '{name}' already in use")
            found[name] = binding
        for old in self.previous.bindings if self.previous else ():
            if old["type"] in keep_types:
                found.setdefault(old["name"], old)
        result = tuple(found.values())
        _check_size(result)
        return result

    def _one(self, item: Any) -> Binding | None:
        if not isinstance(item, dict):
            raise _invalid("a binding must be an object")
        name, kind = item.get("name"), item.get("type")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise _invalid(f"invalid binding name {json.dumps(name)}: not a JavaScript identifier")
        if kind == "inherit":
            return self._inherit(name, item)
        if not isinstance(kind, str) or kind not in _REQUIRED:
            raise _invalid(f"binding {name} has an unknown type {json.dumps(kind)}")
        for key in _REQUIRED[kind]:
            if key not in item or (key != "json" and not isinstance(item[key], str)):
                raise _invalid(f"binding {name} of type {kind} must have a valid `{key}` specified")
        if kind == "d1":
            return self._d1(name, item)
        if kind == "service" and not self.service_exists(item["service"]):
            raise ApiError(
                400,
                10144,
                f"Could not resolve service binding '{name}'. "
                f"Target script '{item['service']}' not found.",
            )
        if kind == "dispatch_namespace" and not self.namespace_exists(item["namespace"]):
            raise ApiError(400, 100119, f"dispatch namespace '{item['namespace']}' not found")
        return dict(item)

    def _inherit(self, name: str, item: Mapping[str, Any]) -> Binding | None:
        source = self.previous
        wanted = item.get("version_id", "latest")
        if wanted != "latest":
            source = self.version(str(wanted))
        old = source.binding(item.get("old_name") or name) if source else None
        if old is not None:
            return {**old, "name": name}
        if self.strict:
            raise ApiError(
                400, 10057, f"binding '{name}' cannot be inherited: the previous version has none"
            )
        return None

    def _d1(self, name: str, item: Mapping[str, Any]) -> Binding:
        uuid = item.get("database_id") or item.get("id")
        if not isinstance(uuid, str):
            raise _invalid(f"binding {name} of type d1 must have a valid `id` specified")
        if not self.database_exists(uuid):
            raise ApiError(
                400,
                10181,
                f"D1 binding '{name}' references database '{uuid}' which was not found.",
            )
        return {"type": "d1", "name": name, "id": uuid, "database_id": uuid}


def _invalid(message: str) -> ApiError:
    return ApiError(400, 10021, message)


def _check_size(bindings: Iterable[Binding]) -> None:
    count = variables = size = 0
    for item in bindings:
        count += 1
        size += PER_BINDING
        if item["type"] in _VARIABLES:
            value = item["json"] if item["type"] == "json" else item["text"]
            length = len((value if isinstance(value, str) else json.dumps(value)).encode())
            if length > MOST_VARIABLE_BYTES:
                raise ApiError(400, 10054, f"the value of '{item['name']}' is over 5 KB")
            variables += 1
            size += length
    if variables > MOST_VARIABLES:
        raise ApiError(400, 10055, f"too many variables: {variables}, at most {MOST_VARIABLES}")
    if count > MOST_BINDINGS or size > MOST_METADATA:
        raise _invalid(
            f"the script's metadata is over 1 MB: {count} bindings, at most about {MOST_BINDINGS}"
        )
