"""Workers for Platforms: namespaces of scripts that other Workers reach by name at run time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict

from local.cloudflare.account import Account
from local.cloudflare.doors import doors
from local.cloudflare.envelope import ApiError, body_object, ok
from local.cloudflare.front_config import IN_NAMESPACE, Running
from local.cloudflare.models import Script
from local.cloudflare.modules import ModuleFiles
from local.cloudflare.script_routes import ScriptDoor
from local.cloudflare.script_views import script_view
from local.cloudflare.scripts import ScriptHooks, Scripts
from local.cloudflare.store import Store

__all__ = ["Namespaces", "dispatch_blueprint"]

_BASE = "/accounts/<a>/workers/dispatch/namespaces"
_KIND = "namespace"
MOST_TAGS = 8


class _Namespace(BaseModel):
    model_config = ConfigDict(frozen=True)

    id: str
    name: str
    created_on: str


@dataclass
class Namespaces:
    """Keep dispatch namespaces, each with scripts of its own."""

    account: Account
    store: Store
    hooks: ScriptHooks
    by_name: dict[str, _Namespace] = field(default_factory=dict)
    scripts: dict[str, Scripts] = field(default_factory=dict)

    def load(self) -> None:
        """Read what the store remembers."""
        for _, body in self.store.all(_KIND):
            self._open(_Namespace.model_validate_json(body))

    def of(self, name: str) -> Scripts:
        """Return a namespace's scripts; 100119 when there is no such namespace."""
        if name not in self.scripts:
            raise ApiError(404, 100119, f"dispatch namespace '{name}' not found")
        return self.scripts[name]

    def create(self, name: Any) -> _Namespace:
        """Make a namespace; 100120 when there is one of that name."""
        if not isinstance(name, str) or not name or IN_NAMESPACE in name:
            raise ApiError(400, 10021, "a namespace needs a name")
        with self.account.lock:
            if name in self.by_name:
                raise ApiError(409, 100120, f"dispatch namespace '{name}' already exists")
            made = _Namespace(id=str(uuid4()), name=name, created_on=self.account.now())
            self._open(made)
            self.store.put(_KIND, name, made.model_dump_json())
        return made

    def delete(self, name: str) -> None:
        """Remove a namespace with its scripts."""
        scripts = self.of(name)
        with self.account.lock:
            for script in list(scripts.by_name):
                scripts.delete(script, force=True)
            del self.by_name[name], self.scripts[name]
            self.store.delete(_KIND, name)

    def view(self, name: str) -> dict[str, Any]:
        """Show a namespace."""
        scripts = self.of(name)
        namespace = self.by_name[name]
        return {
            "namespace_id": namespace.id,
            "namespace_name": name,
            "script_count": len(scripts.by_name),
            "trusted_workers": False,
            "created_by": "emulator",
            "created_on": namespace.created_on,
            "modified_by": "emulator",
            "modified_on": namespace.created_on,
        }

    def running(self) -> list[Running]:
        """List the scripts that run, by names that no script of the account has."""
        return [
            Running(f"{namespace}{IN_NAMESPACE}{name}", scripts.deployed(name), enabled=False)
            for namespace, scripts in self.scripts.items()
            for name in scripts.by_name
        ]

    def _open(self, namespace: _Namespace) -> None:
        scope = f":{namespace.id}"
        scripts = Scripts(self.account, self.store, self.hooks, scope)
        scripts.load()
        self.by_name[namespace.name] = namespace
        self.scripts[namespace.name] = scripts


def dispatch_blueprint(account: Account, namespaces: Namespaces, files: ModuleFiles) -> Blueprint:
    """Build the routes under `/accounts/{a}/workers/dispatch/namespaces`."""
    door = _Door(account, namespaces, files)
    script = f"{_BASE}/<ns>/scripts/<s>"
    table: dict[str, Callable[..., Response]] = {
        f"GET {_BASE}": door.list,
        f"POST {_BASE}": door.create,
        f"GET {_BASE}/<ns>": door.get,
        f"DELETE {_BASE}/<ns>": door.delete,
        f"GET {_BASE}/<ns>/scripts": door.list_scripts,
        f"DELETE {_BASE}/<ns>/scripts": door.delete_scripts,
        f"GET {script}": lambda ns, s: ok(door.details(ns, s)),
        f"PUT {script}": lambda ns, s: door.of(ns).put_script(s),
        f"DELETE {script}": lambda ns, s: door.of(ns).delete_script(s),
        f"GET {script}/content": lambda ns, s: door.of(ns).get_content(s),
        f"PUT {script}/content": lambda ns, s: door.of(ns).put_content(s),
        f"GET {script}/settings": lambda ns, s: door.of(ns).get_settings(s),
        f"PATCH {script}/settings": lambda ns, s: door.of(ns).patch_settings(s),
        f"GET {script}/bindings": lambda ns, s: door.of(ns).get_bindings(s),
        f"GET {script}/secrets": lambda ns, s: door.of(ns).list_secrets(s),
        f"PUT {script}/secrets": lambda ns, s: door.of(ns).put_secret(s),
        f"GET {script}/secrets/<name>": lambda ns, s, name: door.of(ns).get_secret(s, name),
        f"DELETE {script}/secrets/<name>": lambda ns, s, name: door.of(ns).delete_secret(s, name),
        f"GET {script}/tags": door.get_tags,
        f"PUT {script}/tags": door.put_tags,
    }
    return doors("dispatch", table)


@dataclass(frozen=True)
class _Door:
    account: Account
    namespaces: Namespaces
    files: ModuleFiles

    def of(self, ns: str) -> ScriptDoor:
        return ScriptDoor(self.account, self.namespaces.of(ns), self.files)

    def list(self) -> Response:
        return ok([self.namespaces.view(name) for name in sorted(self.namespaces.by_name)])

    def create(self) -> Response:
        made = self.namespaces.create(body_object(request.get_data(), code=10001).get("name"))
        return ok(self.namespaces.view(made.name))

    def get(self, ns: str) -> Response:
        return ok(self.namespaces.view(ns))

    def delete(self, ns: str) -> Response:
        self.namespaces.delete(ns)
        return ok(None)

    def details(self, ns: str, s: str) -> dict[str, Any]:
        scripts = self.namespaces.of(ns)
        script = scripts.get(s)
        return {
            "script": script_view(script, scripts.deployed(s)),
            "dispatch_namespace": ns,
            "created_on": script.created_on,
            "modified_on": script.modified_on,
        }

    def list_scripts(self, ns: str) -> Response:
        scripts = self.namespaces.of(ns)
        limit = request.args.get("limit", 1000, int)
        if not 1 <= limit <= 1000:
            raise ApiError(400, 10021, "limit must be between 1 and 1000")
        after = request.args.get("cursor", "")
        names = [name for name in sorted(_tagged(scripts)) if name > after]
        shown = [
            {**script_view(scripts.get(name), scripts.deployed(name)), "dispatch_namespace": ns}
            for name in names[:limit]
        ]
        more = len(names) > limit
        return ok(shown, result_info={"cursor": names[limit - 1] if more else ""})

    def delete_scripts(self, ns: str) -> Response:
        scripts = self.namespaces.of(ns)
        if not request.args.get("tags"):
            raise ApiError(400, 10021, "tags must say which scripts to delete")
        names = list(_tagged(scripts))
        for name in names:
            scripts.delete(name, force=True)
        return ok({"deleted_count": len(names)})

    def get_tags(self, ns: str, s: str) -> Response:
        return ok(_tags(self.namespaces.of(ns).get(s)))

    def put_tags(self, ns: str, s: str) -> Response:
        tags = request.get_json(force=True, silent=True)
        if not isinstance(tags, list) or len(tags) > MOST_TAGS:
            raise ApiError(400, 10021, f"tags must be a list of at most {MOST_TAGS}")
        return ok(_tags(self.namespaces.of(ns).set_unversioned(s, {"tags": tags})))


def _tags(script: Script) -> list[str]:
    return list(script.unversioned.get("tags") or [])


def _tagged(scripts: Scripts) -> Iterable[str]:
    """Name the scripts that `tags=a:yes,b:no` asks for; all without it."""
    wanted = [part.rpartition(":") for part in request.args.get("tags", "").split(",") if part]
    for name, script in scripts.by_name.items():
        tags = _tags(script)
        if all((tag in tags) is (allow == "yes") for tag, _, allow in wanted):
            yield name
