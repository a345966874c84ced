"""What the account keeps of Workers: code, versions, deployments, scripts."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Binding", "Code", "Deployment", "Module", "Script", "Version"]

Binding = dict[str, Any]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Module(_Frozen):
    """One file of an upload; its bytes are kept apart, under their hash."""

    name: str
    content_type: str
    sha256: str


class Code(_Frozen):
    """The files of a version; the main one comes first."""

    syntax: Literal["modules", "service-worker"]
    modules: tuple[Module, ...]
    etag: str


class Version(_Frozen):
    """One immutable state of a script's code and bindings, with the values of its secrets."""

    id: str
    number: int
    created_on: str
    source: str
    annotations: dict[str, str]
    code: Code
    bindings: tuple[Binding, ...]
    compatibility_date: str
    compatibility_flags: tuple[str, ...]
    runtime: dict[str, Any]  # usage_model, limits, placement, cache_options: what came with it

    def binding(self, name: str) -> Binding | None:
        """Find a binding by name."""
        return next((item for item in self.bindings if item["name"] == name), None)


class Deployment(_Frozen):
    """Which version, or two, serve a script."""

    id: str
    created_on: str
    source: str
    versions: tuple[tuple[str, float], ...]
    annotations: dict[str, str]

    @property
    def main_version(self) -> str:
        """Return the version with the greatest share."""
        return max(self.versions, key=lambda pair: pair[1])[0]

    @property
    def other_version(self) -> tuple[str, float] | None:
        """Return the other version of a gradual rollout with its percentage, if it has any."""
        for version, share in self.versions:
            if version != self.main_version and share > 0:
                return version, share
        return None


class Script(BaseModel):
    """A Worker of the account. Changed under the account's lock only."""

    name: str
    tag: str
    created_on: str
    modified_on: str
    last_deployed_from: str = "api"
    next_number: int = 1
    deployments: list[Deployment] = []  # the newest first
    subdomain: bool = False
    previews: bool = False
    unversioned: dict[str, Any] = {}  # logpush, observability, tags, tail_consumers
    schedules: list[dict[str, Any]] = []
