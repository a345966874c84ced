"""Worker scripts over REST: code, settings, versions, addresses."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from shared.cloudflare.errors import NoWorkersSubdomain, WorkerNotFound
from shared.cloudflare.models import (
    Deployment,
    ScriptSettings,
    ScriptSubdomain,
    UploadedScript,
    Version,
    VersionDetail,
)
from shared.cloudflare.transport import Answer, Calls

__all__ = ["Workers"]

M = TypeVar("M", bound=BaseModel)

_MOST_OF_MESSAGE: Final = 1000
_MOST_OF_TAG: Final = 100
_WITH_VALUES: Final = frozenset({"secret_text", "secret_key"})


class Workers:
    """Upload, bind, look at and delete Worker scripts.

    Every method raises `NoPermit` when the budget says wait, and the errors of
    `shared.cloudflare.errors`; those about one script raise `WorkerNotFound` when it is not there.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._base = f"{calls.account}/workers"

    def settings(self, script: str) -> ScriptSettings:
        """Return a Worker's settings; secrets come without their values."""
        answer = self._calls.read("GET", f"{self._path(script)}/settings", "get settings")
        return answer.parsed(ScriptSettings)

    def exists(self, script: str) -> bool:
        """Say whether there is a Worker of this name."""
        try:
            self.settings(script)
        except WorkerNotFound:
            return False
        return True

    def patch_settings(
        self,
        script: str,
        bindings: Sequence[Mapping[str, Any]],
        *,
        message: str = "",
        tag: str = "",
    ) -> ScriptSettings:
        """Replace all bindings of a Worker; what is left out is gone, so inherit what must stay.

        Takes effect at once, as a new version at 100 %. An `inherit` that names nothing is dropped
        silently: read back and compare. `message` and `tag` are shown on the version.

        Raises:
            VersionNotDeployed: the newest version is not the deployed one; an upload goes over it.
            BoundDatabaseMissing, BoundServiceMissing: a binding names what is not there.
        """
        settings = {"bindings": list(bindings), "annotations": _annotations(message, tag)}
        answer = self._calls.write(
            "PATCH",
            f"{self._path(script)}/settings",
            "patch settings",
            # The endpoint takes multipart with this one part, and JSON alone with code 10001.
            files={"settings": (None, json.dumps(settings), "application/json")},
            secrets=_values(bindings),
        )
        return answer.parsed(ScriptSettings)

    def upload(
        self,
        script: str,
        main_module: str,
        modules: Mapping[str, bytes],
        metadata: Mapping[str, Any],
        *,
        message: str = "",
        tag: str = "",
    ) -> UploadedScript:
        """Upload a Worker's code and metadata (bindings, dates, flags), and deploy it at once.

        Inheriting is strict: a binding that can't be inherited fails the upload.

        Raises:
            InheritUnresolved: a binding to inherit is gone.
            InvalidBinding: Cloudflare refuses the code or a binding.
        """
        whole = {
            **metadata,
            "main_module": main_module,
            "annotations": _annotations(message, tag),
        }
        files: list[tuple[str, tuple[str | None, str | bytes, str]]] = [
            ("metadata", (None, json.dumps(whole), "application/json"))
        ]
        files += [
            (name, (name, code, "application/javascript+module")) for name, code in modules.items()
        ]
        answer = self._calls.write(
            "PUT",
            self._path(script),
            "upload script",
            params={"bindings_inherit": "strict"},
            files=files,
            secrets=_values(metadata.get("bindings", ())),
        )
        return answer.parsed(UploadedScript)

    def deployments(self, script: str) -> list[Deployment]:
        """Return a Worker's deployments; the first is the active one."""
        path = f"{self._path(script)}/deployments"
        return self._inner_list(self._calls.read("GET", path, "list deployments"), Deployment)

    def versions(self, script: str) -> list[Version]:
        """Return a Worker's latest versions, newest first."""
        path = f"{self._path(script)}/versions"
        return self._inner_list(self._calls.read("GET", path, "list versions"), Version)

    def version(self, script: str, version_id: str) -> VersionDetail:
        """Return one version of a Worker, with its bindings."""
        path = f"{self._path(script)}/versions/{quote(version_id, safe='')}"
        return self._calls.read("GET", path, "get version").parsed(VersionDetail)

    def delete(self, script: str, *, force: bool = False) -> bool:
        """Delete a Worker; return False if there was none.

        Raises:
            InUse: other Workers are bound to it and it was not by force.
        """
        try:
            self._calls.write(
                "DELETE",
                self._path(script),
                "delete script",
                params={"force": "true"} if force else {},
            )
        except WorkerNotFound:
            return False
        return True

    def put_secret(self, script: str, name: str, text: str) -> None:
        """Set one secret of a Worker."""
        self._calls.write(
            "PUT",
            f"{self._path(script)}/secrets",
            "put secret",
            json={"name": name, "text": text, "type": "secret_text"},
            secrets=(text,),
        )

    def account_subdomain(self) -> str:
        """Return the account's name on workers.dev.

        Raises:
            NoWorkersSubdomain: it has none yet.
        """
        try:
            answer = self._calls.read("GET", f"{self._base}/subdomain", "get workers.dev subdomain")
        except WorkerNotFound as error:
            # Here the code of a missing Worker means this; wrangler reads it so too.
            raise NoWorkersSubdomain(error.facts) from error
        found = answer.result.get("subdomain") if isinstance(answer.result, dict) else None
        if not isinstance(found, str) or not found:
            raise answer.malformed("a subdomain")
        return found

    def script_subdomain(self, script: str) -> ScriptSubdomain:
        """Say whether a Worker answers on workers.dev."""
        path = f"{self._path(script)}/subdomain"
        return self._calls.read("GET", path, "get script subdomain").parsed(ScriptSubdomain)

    def set_script_subdomain(self, script: str, *, enabled: bool) -> ScriptSubdomain:
        """Give a Worker its address on workers.dev, or take it away; previews are always off."""
        answer = self._calls.write(
            "POST",
            f"{self._path(script)}/subdomain",
            "set script subdomain",
            json={"enabled": enabled, "previews_enabled": False},
        )
        return answer.parsed(ScriptSubdomain)

    def _path(self, script: str) -> str:
        return f"{self._base}/scripts/{quote(script, safe='')}"

    @staticmethod
    def _inner_list(answer: Answer, model: type[M]) -> list[M]:
        inner = answer.result if isinstance(answer.result, dict) else {}
        return answer.parsed_list(model, inner.get("items", inner.get("deployments", ())))


def _annotations(message: str, tag: str) -> dict[str, str]:
    """Return the notes on a version, cut to what Cloudflare takes."""
    notes = {
        "workers/message": message.encode()[:_MOST_OF_MESSAGE].decode(errors="ignore"),
        "workers/tag": tag.encode()[:_MOST_OF_TAG].decode(errors="ignore"),
    }
    return {name: text for name, text in notes.items() if text}


def _values(bindings: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the secret values among bindings, so that nobody repeats them."""
    return tuple(
        binding["text"]
        for binding in bindings
        if binding.get("type") in _WITH_VALUES and isinstance(binding.get("text"), str)
    )
