"""How the API shows scripts, versions and deployments."""

from typing import Any

from local.cloudflare.bindings import public
from local.cloudflare.models import Deployment, Script, Version

__all__ = [
    "deployment_view",
    "script_view",
    "service_view",
    "settings_view",
    "version_item",
    "version_view",
]


def script_view(script: Script, version: Version) -> dict[str, Any]:
    """Show a script as its list and its upload do."""
    return {
        "id": script.name,
        "tag": script.tag,
        "tags": script.unversioned.get("tags"),
        "etag": version.code.etag,
        "handlers": ["fetch"],
        "named_handlers": [],
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "compatibility_date": version.compatibility_date,
        "compatibility_flags": list(version.compatibility_flags),
        "usage_model": version.runtime.get("usage_model", "standard"),
        "deployment_id": script.deployments[0].id.replace("-", "") if script.deployments else None,
        "has_assets": False,
        "has_modules": version.code.syntax == "modules",
        "last_deployed_from": script.last_deployed_from,
        "logpush": script.unversioned.get("logpush", False),
        "startup_time_ms": 1,
        "entry_point": version.code.modules[0].name,
        "routes": [],
    }


def settings_view(script: Script, version: Version) -> dict[str, Any]:
    """Show the settings of a version together with the script's own."""
    return {
        "bindings": [public(item) for item in version.bindings],
        "compatibility_date": version.compatibility_date,
        "compatibility_flags": list(version.compatibility_flags),
        "usage_model": version.runtime.get("usage_model", "standard"),
        "limits": version.runtime.get("limits") or {},
        "placement": version.runtime.get("placement") or {},
        "logpush": script.unversioned.get("logpush", False),
        "tags": script.unversioned.get("tags"),
        "tail_consumers": script.unversioned.get("tail_consumers"),
        "observability": script.unversioned.get("observability") or {"enabled": False},
        "annotations": dict(version.annotations),
    }


def version_item(version: Version) -> dict[str, Any]:
    """Show a version as the list of versions does."""
    return {
        "id": version.id,
        "number": version.number,
        "metadata": {
            "author_email": "emulator@example.com",
            "author_id": "emulator",
            "created_on": version.created_on,
            "modified_on": version.created_on,
            "hasPreview": False,
            "has_preview": False,
            "source": version.source,
        },
        "annotations": dict(version.annotations),
    }


def version_view(version: Version) -> dict[str, Any]:
    """Show a version with what is in it."""
    return {
        **version_item(version),
        "startup_time_ms": 1,
        "resources": {
            "bindings": [public(item) for item in version.bindings],
            "script": {
                "etag": version.code.etag,
                "handlers": ["fetch"],
                "named_handlers": [],
                "last_deployed_from": version.source,
            },
            "script_runtime": {
                "compatibility_date": version.compatibility_date,
                "compatibility_flags": list(version.compatibility_flags),
                "usage_model": version.runtime.get("usage_model", "standard"),
                "limits": version.runtime.get("limits") or {},
            },
        },
    }


def deployment_view(deployment: Deployment) -> dict[str, Any]:
    """Show a deployment."""
    return {
        "id": deployment.id,
        "source": deployment.source,
        "strategy": "percentage",
        "author_email": "emulator@example.com",
        "created_on": deployment.created_on,
        "annotations": dict(deployment.annotations),
        "versions": [
            {"version_id": version, "percentage": share} for version, share in deployment.versions
        ],
    }


def service_view(script: Script, version: Version) -> dict[str, Any]:
    """Show a script as the older services API does, which wrangler asks."""
    environment = {
        "environment": "production",
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "script_tag": script.tag,
        "script": script_view(script, version),
    }
    return {
        "id": script.name,
        "created_on": script.created_on,
        "modified_on": script.modified_on,
        "default_environment": environment,
        "environments": [environment],
    }
