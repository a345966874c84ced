"""Routes of versions and deployments."""

from dataclasses import dataclass

from flask import Blueprint, Response, request

from local.cloudflare.account import Account
from local.cloudflare.doors import doors
from local.cloudflare.envelope import ApiError, body_object, ok, page_of
from local.cloudflare.modules import ModuleFiles
from local.cloudflare.script_routes import source_of_request
from local.cloudflare.script_views import deployment_view, version_item, version_view
from local.cloudflare.scripts import Scripts
from local.cloudflare.uploads import read_code, read_part

__all__ = ["version_blueprint"]

_BASE = "/accounts/<a>/workers/scripts/<n>"


def version_blueprint(account: Account, scripts: Scripts, files: ModuleFiles) -> Blueprint:
    """Build the routes of a script's versions and deployments."""
    door = _Door(account, scripts, files)
    return doors(
        "versions",
        {
            f"GET {_BASE}/versions": door.list_versions,
            f"POST {_BASE}/versions": door.post_version,
            f"GET {_BASE}/versions/<v>": door.get_version,
            f"GET {_BASE}/deployments": door.list_deployments,
            f"POST {_BASE}/deployments": door.post_deployment,
            f"GET {_BASE}/deployments/<i>": door.get_deployment,
        },
    )


@dataclass(frozen=True)
class _Door:
    account: Account
    scripts: Scripts
    files: ModuleFiles

    def list_versions(self, n: str) -> Response:
        with self.account.lock:
            self.scripts.get(n)
            newest_first = self.scripts.versions[n][::-1]
        chosen, info = page_of(
            newest_first,
            request.args.get("page", "1"),
            request.args.get("per_page", "100"),
            most=100,
            code=10021,
        )
        return ok({"items": [version_item(version) for version in chosen]}, result_info=info)

    def post_version(self, n: str) -> Response:
        metadata = read_part(request, "metadata")
        if "main_module" not in metadata:
            raise ApiError(400, 10021, "a version must have a main_module")
        version = self.scripts.upload(
            n,
            metadata,
            read_code(request, metadata, self.files),
            source=source_of_request(),
            deploy=False,
            strict=request.args.get("bindings_inherit") == "strict",
        )
        return ok(version_view(version))

    def get_version(self, n: str, v: str) -> Response:
        return ok(version_view(self.scripts.version(n, v)))

    def list_deployments(self, n: str) -> Response:
        script = self.scripts.get(n)
        return ok({"deployments": [deployment_view(item) for item in script.deployments]})

    def post_deployment(self, n: str) -> Response:
        body = body_object(request.get_data(), code=10001)
        if body.get("strategy") != "percentage":
            raise ApiError(400, 10021, "the strategy of a deployment must be percentage")
        return ok(deployment_view(self.scripts.deploy(n, body, source=source_of_request())))

    def get_deployment(self, n: str, i: str) -> Response:
        for item in self.scripts.get(n).deployments:
            if item.id == i:
                return ok(deployment_view(item))
        raise ApiError(404, 10007, f"Deployment {i} of {n} not found.")
