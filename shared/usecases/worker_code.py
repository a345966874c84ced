"""The code of the pool Workers: read from what was deployed with us, uploaded by the publisher."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from shared.cloudflare.workers import Workers
from shared.domain.worker import Role

__all__ = ["COMPATIBILITY_DATE", "COMPATIBILITY_FLAGS", "WorkerCode"]

COMPATIBILITY_DATE: Final = "2026-04-01"
COMPATIBILITY_FLAGS: Final = ("enhanced_error_serialization",)

_SOURCES: Final = Path(__file__).resolve().parents[2] / "worker" / "src"
_MAIN_MODULE: Final = "index.js"


@dataclass(frozen=True)
class WorkerCode:
    """Hold the modules of router and shard; `directory` has a folder of each role's name."""

    directory: Path = _SOURCES

    def hash_of(self, role: Role) -> str:
        """Return the short hash of a role's code, which is also the Worker's `D1FLEET_CODE`.

        Raises `FileNotFoundError` when the role has no main module.
        """
        return self._hashes[role]

    def modules(self, role: Role) -> Mapping[str, bytes]:
        """Return a role's modules by name, the main one first, the others in order of name.

        A name is the path within the role's folder: Workers resolve an import against the name of
        the module that has it, so `./errors.js` of `index.js` is the module `errors.js`.

        Raises `FileNotFoundError` when the role has no main module.
        """
        return self._modules[role]

    def upload(
        self,
        workers: Workers,
        role: Role,
        script: str,
        bindings: Sequence[Mapping[str, Any]],
        note: str,
    ) -> None:
        """Upload a role's code under a script's name, with its whole list of bindings.

        Raises what the Cloudflare client raises, and `FileNotFoundError` when the role has no main
        module.
        """
        workers.upload(
            script,
            main_module=_MAIN_MODULE,
            modules=self.modules(role),
            metadata={
                "compatibility_date": COMPATIBILITY_DATE,
                "compatibility_flags": list(COMPATIBILITY_FLAGS),
                "bindings": [dict(binding) for binding in bindings],
                "observability": {"enabled": True},
            },
            message=note,
        )

    @cached_property
    def _modules(self) -> dict[Role, dict[str, bytes]]:
        return {role: _read(self.directory / role.value) for role in Role}

    @cached_property
    def _hashes(self) -> dict[Role, str]:
        return {role: _hash(modules) for role, modules in self._modules.items()}


def _read(folder: Path) -> dict[str, bytes]:
    modules = {_MAIN_MODULE: (folder / _MAIN_MODULE).read_bytes()}
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.js")}
    return modules | {name: paths[name].read_bytes() for name in sorted(paths)}


def _hash(modules: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(f"{COMPATIBILITY_DATE} {COMPATIBILITY_FLAGS}".encode())
    for name, code in modules.items():
        # The length keeps apart what would otherwise be the same bytes cut in other places.
        digest.update(f"\n{name} {len(code)}\n".encode() + code)
    return digest.hexdigest()[:16]
