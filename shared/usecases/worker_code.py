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
_MODULE: Final = {Role.ROUTER: "router.js", Role.SHARD: "shard.js"}


@dataclass(frozen=True)
class WorkerCode:
    """Hold the sources of router and shard; `directory` has `router.js` and `shard.js`."""

    directory: Path = _SOURCES

    def hash_of(self, role: Role) -> str:
        """Return the short hash of a role's code, which is also the Worker's `D1FLEET_CODE`."""
        return self._hashes[role]

    def upload(
        self,
        workers: Workers,
        role: Role,
        script: str,
        bindings: Sequence[Mapping[str, Any]],
        note: str,
    ) -> None:
        """Upload a role's code under a script's name, with its whole list of bindings.

        Raises what the Cloudflare client raises.
        """
        module = _MODULE[role]
        workers.upload(
            script,
            main_module=module,
            modules={module: self._sources[role]},
            metadata={
                "compatibility_date": COMPATIBILITY_DATE,
                "compatibility_flags": list(COMPATIBILITY_FLAGS),
                "bindings": [dict(binding) for binding in bindings],
                "observability": {"enabled": True},
            },
            message=note,
        )

    @cached_property
    def _sources(self) -> dict[Role, bytes]:
        return {role: (self.directory / name).read_bytes() for role, name in _MODULE.items()}

    @cached_property
    def _hashes(self) -> dict[Role, str]:
        context = f"{COMPATIBILITY_DATE} {COMPATIBILITY_FLAGS}".encode()
        return {
            role: hashlib.sha256(context + source).hexdigest()[:16]
            for role, source in self._sources.items()
        }
