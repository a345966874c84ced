"""The two ways to ask a live database: through its binding, or over REST.

Both answer the questions of `shared.dumps`. The first costs no call of Cloudflare's REST API, and
needs the database bound; the second works for a database that is bound to nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.cloudflare.d1 import D1
from shared.router.client import RouterClient

__all__ = ["OverRest", "ThroughRouter"]


@dataclass(frozen=True)
class ThroughRouter:
    """Ask a database through the router and the shard that it is bound to."""

    router: RouterClient
    shard: str
    binding: str

    def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read, all in one transaction."""
        return self.router.read(self.shard, self.binding, statements)


@dataclass(frozen=True)
class OverRest:
    """Ask a database over the REST API: one call each time."""

    d1: D1
    uuid: str

    def rows(self, statements: Sequence[str]) -> list[list[list[Any]]]:
        """Run statements that only read, all in one transaction."""
        return self.d1.read(self.uuid, statements)
