"""Cloudflare Pages: projects with bindings, and deployments that capture them. Nothing is served.

A deployment's stages move on by one each time it is looked at, so that whoever waits for it must
look.
"""

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from flask import Blueprint, Response, request

from local.cloudflare.account import Account
from local.cloudflare.doors import doors
from local.cloudflare.envelope import ApiError, body_object, ok, page_of
from local.cloudflare.store import Store

__all__ = ["Pages", "pages_blueprint"]

_BASE = "/accounts/<a>/pages/projects"
_KIND = "pages-project"
_STAGES = ("queued", "initialize", "clone_repo", "build", "deploy")
_MERGED = (
    "ai_bindings",
    "analytics_engine_datasets",
    "d1_databases",
    "durable_object_namespaces",
    "env_vars",
    "hyperdrive_bindings",
    "kv_namespaces",
    "mtls_certificates",
    "queue_producers",
    "r2_buckets",
    "services",
    "vectorize_bindings",
)
_SECRET = "secret_text"  # noqa: S105 - the kind of a variable


@dataclass
class Pages:
    """Keep projects as the API's own objects, with their deployments, the newest first."""

    account: Account
    store: Store
    projects: dict[str, dict[str, Any]] = field(default_factory=dict)

    def load(self) -> None:
        """Read what the store remembers."""
        self.projects = {name: json.loads(body) for name, body in self.store.all(_KIND)}

    def save(self, project: dict[str, Any]) -> None:
        """Write a project down."""
        self.store.put(_KIND, project["name"], json.dumps(project))

    def get(self, name: str) -> dict[str, Any]:
        """Find a project; 8000007 when there is none."""
        if name not in self.projects:
            raise ApiError(
                404, 8000007, "Project not found. The specified project name does not match any."
            )
        return self.projects[name]

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a project; 8000002 when there is one of that name."""
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise ApiError(400, 8000000, "A project needs a name")
        with self.account.lock:
            if name in self.projects:
                raise ApiError(409, 8000002, "A project with this name already exists.")
            project: dict[str, Any] = {
                "id": str(uuid4()),
                "name": name,
                "subdomain": f"{name}.pages.dev",
                "domains": [f"{name}.pages.dev"],
                "created_on": self.account.now(),
                "production_branch": body.get("production_branch", "main"),
                "source": body.get("source"),
                "build_config": body.get("build_config") or {},
                "deployment_configs": {"preview": {}, "production": {}},
                "deployments": [],
            }
            _merge_configs(project, body.get("deployment_configs"))
            self.projects[name] = project
            self.save(project)
        return project

    def patch(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """Merge settings key by key; null deletes a key."""
        with self.account.lock:
            project = self.get(name)
            _merge_configs(project, body.get("deployment_configs"))
            for key in ("production_branch", "build_config", "source"):
                if key in body:
                    project[key] = body[key]
            self.save(project)
        return project

    def deploy(self, name: str, trigger: str, branch: str | None, files: Any) -> dict[str, Any]:
        """Make a deployment with the bindings that the project has now."""
        with self.account.lock:
            project = self.get(name)
            production = branch in {None, project["production_branch"]}
            environment = "production" if production else "preview"
            now = self.account.now()
            identity = str(uuid4())
            deployment = {
                "id": identity,
                "short_id": identity[:8],
                "project_id": project["id"],
                "project_name": name,
                "environment": environment,
                "url": f"https://{identity[:8]}.{name}.pages.dev",
                "created_on": now,
                "modified_on": now,
                "aliases": None,
                "is_skipped": False,
                "deployment_trigger": {
                    "type": trigger,
                    "metadata": {
                        "branch": branch or project["production_branch"],
                        "commit_hash": "",
                        "commit_message": "",
                        "commit_dirty": False,
                    },
                },
                "build_config": project["build_config"],
                "source": project["source"],
                "files": files,
                "progress": 0,
                "bindings": json.loads(json.dumps(project["deployment_configs"][environment])),
            }
            project["deployments"].insert(0, deployment)
            self.save(project)
        return deployment

    def deployment(self, name: str, identity: str) -> dict[str, Any]:
        """Find a deployment; 8000009 when there is none."""
        for deployment in self.get(name)["deployments"]:
            if deployment["id"] == identity:
                found: dict[str, Any] = deployment  # itself: it changes under the account's lock
                return found
        raise ApiError(404, 8000009, "The deployment ID you have specified does not exist.")

    def look(self, name: str, identity: str) -> dict[str, Any]:
        """Find a deployment, and let it get one stage further."""
        with self.account.lock:
            deployment = self.deployment(name, identity)
            if deployment["progress"] < len(_STAGES):
                deployment["progress"] += 1
                deployment["modified_on"] = self.account.now()
                self.save(self.get(name))
        return deployment


def pages_blueprint(account: Account, pages: Pages) -> Blueprint:
    """Build the routes under `/accounts/{a}/pages/projects`."""
    door = _Door(account, pages)
    return doors(
        "pages",
        {
            f"GET {_BASE}": door.list,
            f"POST {_BASE}": door.create,
            f"GET {_BASE}/<p>": door.get,
            f"PATCH {_BASE}/<p>": door.patch,
            f"DELETE {_BASE}/<p>": door.delete,
            f"GET {_BASE}/<p>/deployments": door.deployments,
            f"POST {_BASE}/<p>/deployments": door.deploy,
            f"GET {_BASE}/<p>/deployments/<d>": door.deployment,
            f"DELETE {_BASE}/<p>/deployments/<d>": door.delete_deployment,
            f"POST {_BASE}/<p>/deployments/<d>/retry": door.retry,
            f"POST {_BASE}/<p>/deployments/<d>/rollback": door.rollback,
        },
    )


@dataclass(frozen=True)
class _Door:
    account: Account
    pages: Pages

    def list(self) -> Response:
        projects = [_project_view(item) for item in self.pages.projects.values()]
        args = request.args
        page, size = args.get("page", "1"), args.get("per_page", "10")
        chosen, info = page_of(projects, page, size, most=100, code=8000000)
        return ok(list(chosen), result_info=info)

    def create(self) -> Response:
        body = body_object(request.get_data(), code=8000000)
        return ok(_project_view(self.pages.create(body)))

    def get(self, p: str) -> Response:
        return ok(_project_view(self.pages.get(p)))

    def patch(self, p: str) -> Response:
        body = body_object(request.get_data(), code=8000000)
        return ok(_project_view(self.pages.patch(p, body)))

    def delete(self, p: str) -> Response:
        with self.account.lock:
            self.pages.get(p)
            del self.pages.projects[p]
            self.pages.store.delete(_KIND, p)
        return ok(None)

    def deployments(self, p: str) -> Response:
        args = request.args
        wanted = args.get("env")
        found = [
            _deployment_view(item)
            for item in self.pages.get(p)["deployments"]
            if wanted in {None, item["environment"]}
        ]
        page, size = args.get("page", "1"), args.get("per_page", "25")
        chosen, info = page_of(found, page, size, most=100, code=8000000)
        return ok(list(chosen), result_info=info)

    def deploy(self, p: str) -> Response:
        project = self.pages.get(p)
        manifest = request.form.get("manifest")
        if manifest is None and project["source"] is None:
            raise ApiError(400, 8000096, 'A "manifest" field was expected in the request body.')
        trigger = "ad_hoc" if manifest is not None else "github:push"
        files = sorted(json.loads(manifest)) if manifest else []
        made = self.pages.deploy(p, trigger, request.form.get("branch"), files)
        return ok(_deployment_view(made))

    def deployment(self, p: str, d: str) -> Response:
        return ok(_deployment_view(self.pages.look(p, d)))

    def delete_deployment(self, p: str, d: str) -> Response:
        with self.account.lock:
            found = self.pages.deployment(p, d)
            project = self.pages.get(p)
            if _canonical(project) is found:
                raise ApiError(400, 8000034, "You cannot delete the active production deployment.")
            project["deployments"].remove(found)
            self.pages.save(project)
        return ok(None)

    def retry(self, p: str, d: str) -> Response:
        old = self.pages.deployment(p, d)
        trigger = old["deployment_trigger"]
        made = self.pages.deploy(p, trigger["type"], trigger["metadata"]["branch"], old["files"])
        return ok(_deployment_view(made))

    def rollback(self, p: str, d: str) -> Response:
        old = self.pages.deployment(p, d)
        if old["environment"] != "production" or old["progress"] < len(_STAGES):
            raise ApiError(400, 8000039, "Only a successful production deployment can be used.")
        made = self.pages.deploy(p, old["deployment_trigger"]["type"], None, old["files"])
        with self.account.lock:
            made["bindings"] = old["bindings"]
            self.pages.save(self.pages.get(p))
        return ok(_deployment_view(made))


def _merge_configs(project: dict[str, Any], configs: Any) -> None:
    if configs is None:
        return
    if not isinstance(configs, dict) or set(configs) - {"preview", "production"}:
        raise ApiError(400, 8000000, "deployment_configs has preview and production")
    for environment, config in configs.items():
        if not isinstance(config, dict):
            raise ApiError(400, 8000000, "a deployment config must be an object")
        current = project["deployment_configs"][environment]
        for key, value in config.items():
            if key not in _MERGED or not isinstance(value, dict):
                current[key] = value
                continue
            merged = current.setdefault(key, {})
            for name, item in value.items():
                if item is None:
                    merged.pop(name, None)
                else:
                    merged[name] = item


def _canonical(project: dict[str, Any]) -> dict[str, Any] | None:
    for item in project["deployments"]:
        if item["environment"] == "production" and item["progress"] >= len(_STAGES):
            found: dict[str, Any] = item
            return found
    return None


def _project_view(project: dict[str, Any]) -> dict[str, Any]:
    shown = {key: value for key, value in project.items() if key != "deployments"}
    shown["deployment_configs"] = {
        environment: {**config, "env_vars": _without_secrets(config.get("env_vars"))}
        for environment, config in project["deployment_configs"].items()
    }
    latest = project["deployments"][0] if project["deployments"] else None
    canonical = _canonical(project)
    return {
        **shown,
        "latest_deployment": _deployment_view(latest) if latest else None,
        "canonical_deployment": _deployment_view(canonical) if canonical else None,
        "uses_functions": bool(project["deployments"]),
        "production_script_name": f"pages-worker--{project['name']}-production",
        "preview_script_name": f"pages-worker--{project['name']}-preview",
    }


def _without_secrets(variables: Any) -> dict[str, Any]:
    return {
        name: {"type": _SECRET, "value": ""} if item.get("type") == _SECRET else item
        for name, item in (variables or {}).items()
    }


def _deployment_view(deployment: dict[str, Any]) -> dict[str, Any]:
    hidden = {"bindings", "files", "progress"}
    shown = {key: value for key, value in deployment.items() if key not in hidden}
    progress = deployment["progress"]
    stages = [
        {
            "name": name,
            "status": "success" if index < progress else "active" if index == progress else "idle",
            "started_on": deployment["created_on"] if index <= progress else None,
            "ended_on": deployment["modified_on"] if index < progress else None,
        }
        for index, name in enumerate(_STAGES)
    ]
    return {
        **shown,
        "env_vars": _without_secrets(deployment["bindings"].get("env_vars")),
        "uses_functions": True,
        "stages": stages,
        "latest_stage": stages[min(progress, len(_STAGES) - 1)],
    }
