"""The latency of a real API, as the emulator is told to have it. Pure."""

from dataclasses import dataclass
from typing import Final

__all__ = ["Latency"]

_ACCOUNT: Final = "/accounts/{a}"
_SCRIPT: Final = f"{_ACCOUNT}/workers/scripts/{{n}}"


@dataclass(frozen=True)
class Latency:
    """How long kinds of calls take longer, in milliseconds.

    `create` a database; `query` it, or look it up; `settings`: read or replace a Worker's, or
    switch its address; `redeploy`: upload or deploy a Worker.
    """

    create: int = 800
    query: int = 120
    settings: int = 500
    redeploy: int = 1500

    def routes(self) -> dict[str, int]:
        """Return the latency by route, for the emulator's control door."""
        database = f"{_ACCOUNT}/d1/database/{{id}}"
        return {
            f"POST {_ACCOUNT}/d1/database": self.create,
            f"GET {_ACCOUNT}/d1/database": self.query,
            f"GET {database}": self.query,
            f"POST {database}/query": self.query,
            f"POST {database}/raw": self.query,
            f"GET {_SCRIPT}/settings": self.settings,
            f"PATCH {_SCRIPT}/settings": self.settings,
            f"POST {_SCRIPT}/subdomain": self.settings,
            f"PUT {_SCRIPT}": self.redeploy,
            f"PUT {_SCRIPT}/content": self.redeploy,
            f"POST {_SCRIPT}/versions": self.redeploy,
            f"POST {_SCRIPT}/deployments": self.redeploy,
        }
