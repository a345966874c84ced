"""Send a pool Worker's bindings to Cloudflare, and keep of what is there whatever is not ours.

A call replaces the whole list, so what is kept must be named, and where it is kept from: usually
the newest version. When that one is somebody else's deployment, it lacks what it dropped; when it
is somebody's version that was not deployed, or only to a part of the requests, it does not count at
all. Then the newest version that carries our texts says what there was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from shared.cloudflare.errors import VersionNotDeployed
from shared.cloudflare.workers import Workers
from shared.domain.worker import (
    FLEET_UID,
    GENERATION,
    OVERWRITTEN,
    Binding,
    Role,
    Worker,
    merge_bindings,
)
from shared.usecases.wanted_bindings import Wanted
from shared.usecases.worker_code import WorkerCode

__all__ = ["SendBindings", "Standing", "standing_of"]

VERSIONS_READ: Final = 5
"""How many versions are looked through for one of ours: each costs a call."""


@dataclass(frozen=True)
class Standing:
    """Hold the bindings that there are: of the newest version, and of an `older` one of ours."""

    newest: Sequence[Binding] = ()
    older: Sequence[Binding] = ()
    version: str | None = None

    @property
    def uids(self) -> set[str]:
        """Return the fleets whose uid the newest version carries, none or one."""
        return {str(b.get("text")) for b in self.newest if b["name"] == FLEET_UID}

    @property
    def generation(self) -> int:
        """Return the highest generation that is written there, 0 without one."""
        texts = [
            str(binding.get("text", ""))
            for binding in (*self.newest, *self.older)
            if binding["name"] == GENERATION
        ]
        return max((int(text) for text in texts if text.isdecimal()), default=0)


def standing_of(workers: Workers, worker: Worker, fleet_uid: str) -> Standing:
    """Return what a script has now, and what it had when it was ours last.

    Raises:
        WorkerNotFound: there is no such script.
    """
    standing = Standing(workers.settings(worker.script).bindings)
    if standing.uids or not worker.code:
        return standing
    older = _last_of_ours(workers, worker, fleet_uid)
    return Standing(standing.newest, older.older, older.version)


@dataclass(frozen=True)
class SendBindings:
    """Publish one Worker's bindings, with its code or without."""

    workers: Workers
    code: WorkerCode
    fleet_uid: str
    on_workers_dev: bool

    def __call__(
        self,
        worker: Worker,
        wanted: Wanted,
        texts: Mapping[str, str],
        standing: Standing,
        *,
        upload: bool,
    ) -> list[dict[str, Any]]:
        """Send what is wanted and all that stands; return the list that was sent.

        A version of somebody's that waits for its deployment, or has a part of it, is passed over:
        nobody rolls anything out on a pool Worker but us.

        Raises what the Cloudflare client raises.
        """
        if upload:
            return self._upload(worker, wanted, texts, standing)
        sent = _merged(wanted, texts, standing)
        try:
            self.workers.patch_settings(worker.script, sent, message=_note(worker))
        except VersionNotDeployed:
            ours = _last_of_ours(self.workers, worker, self.fleet_uid)
            return self._upload(worker, wanted, texts, ours if ours.version else standing)
        return sent

    def _upload(
        self, worker: Worker, wanted: Wanted, texts: Mapping[str, str], standing: Standing
    ) -> list[dict[str, Any]]:
        sent = _merged(wanted, texts, standing)
        self.code.upload(self.workers, worker.role, worker.script, sent, _note(worker))
        if worker.role is Role.ROUTER:
            self.workers.set_script_subdomain(worker.script, enabled=self.on_workers_dev)
        elif worker.code == OVERWRITTEN:
            # A deployment by hand gives an address; shards are the router's alone.
            self.workers.set_script_subdomain(worker.script, enabled=False)
        return sent


def _last_of_ours(workers: Workers, worker: Worker, fleet_uid: str) -> Standing:
    """Return the newest version that has what was published last, or nothing.

    One of an earlier generation could bind databases that were deleted since.
    """
    for version in workers.versions(worker.script)[:VERSIONS_READ]:
        bindings = workers.version(worker.script, version.id).bindings
        found = Standing(bindings)
        if found.uids == {fleet_uid} and found.generation >= worker.published_generation:
            return Standing(older=bindings, version=version.id)
    return Standing()


def _merged(wanted: Wanted, texts: Mapping[str, str], standing: Standing) -> list[dict[str, Any]]:
    secrets = {
        name: {"type": "secret_text", "name": name, "text": text}
        for name, text in wanted.secrets.items()
    }
    return merge_bindings(
        standing.newest,
        {**wanted.bindings, **secrets},
        wanted.leaving,
        texts,
        older=standing.older,
        version=standing.version,
    )


def _note(worker: Worker) -> str:
    return f"d1fleet generation {worker.generation}"
