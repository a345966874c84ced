"""The directory: where its rows differ from what the tenants' records say.

Rows come in the order of tenant ids, page by page; tenants are held by their id, those that are
ours and no more of them than what a row says.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, NamedTuple

from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import Repair, RepublishRoute, ShutRoute
from shared.domain.finding import Severity

__all__ = ["DirectoryStale", "Home", "Route", "compare_routes"]

_SERVED = "active"
_SHUT = "closed"


class Home(NamedTuple):
    """What the directory should hold of a tenant; `state` None: on its way, and not judged."""

    tenant_id: str
    state: str | None
    shard: str | None
    binding: str | None
    database_id: str | None
    version: int


class Route(NamedTuple):
    """What the directory holds of a tenant."""

    tenant_id: str
    state: str
    shard: str | None
    binding: str | None
    database_id: str | None
    version: int


class DirectoryStale(Drift):
    """A row of the directory is not what the tenant's record says, or there is none.

    `expected` None: the table knows no such tenant. `foreign` is the tenant whose database the row
    leads to, if that is another one.
    """

    kind: ClassVar = DriftKind.DIRECTORY_STALE

    route: str
    version: int = 0
    expected: str | None = None
    found: str | None = None
    found_version: int = 0
    leads_to: str | None = None
    foreign: str | None = None

    @property
    def subject(self) -> str:
        """Return the tenant."""
        return self.route

    @property
    def severity(self) -> Severity:
        """Say how bad it is: a row that leads to somebody else's data is the worst there is."""
        if self.foreign is not None:
            return Severity.CRITICAL
        lets_in = self.found == _SERVED and self.expected != _SERVED
        return Severity.ERROR if lets_in else Severity.WARNING

    @property
    def summary(self) -> str:
        """Return one line for people."""
        if self.foreign is not None:
            return f"the directory leads {self.route} to the database of {self.foreign}"
        if self.expected is None:
            return f"the directory knows {self.route}, the table does not"
        if self.found is None:
            return f"the directory does not know {self.route}"
        if self.found != self.expected:
            return f"the directory says {self.route} is {self.found}, it is {self.expected}"
        return f"the directory leads {self.route} to the wrong place"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it.

        Of a tenant that the table does not know only a row to somebody else's data is closed: the
        table may have been restored to an earlier time.
        """
        if self.expected is not None:
            return RepublishRoute(self.route, self.version, self.found_version)
        if self.foreign is not None:
            return ShutRoute(self.route, self.found_version)
        return None

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {
            "expected": self.expected or "no such tenant",
            "found": self.found or "no row",
            "leads_to": self.leads_to,
            "owner": self.foreign,
        }


def compare_routes(
    homes: dict[str, Home], pages: Iterable[Iterable[Route]]
) -> Iterator[DirectoryStale]:
    """Compare the directory's rows with what they should be; use `homes` up.

    What is left of `homes` at the end has no row.
    """
    for page in pages:
        for route in page:
            home = homes.pop(route.tenant_id, None)
            if home is None:
                if route.state != _SHUT or route.database_id is not None:
                    yield _stale(None, route)
            elif home.state is not None and _differs(home, route):
                yield _stale(home, route)
    for home in homes.values():
        if home.state is not None:
            yield _stale(home, None)
    homes.clear()


def _differs(home: Home, route: Route) -> bool:
    # The tuples have the same fields in the same order; the row's version may only be behind.
    return home[:5] != route[:5] or route.version > home.version


def _stale(home: Home | None, route: Route | None) -> DirectoryStale:
    known = home or route
    assert known is not None  # noqa: S101 - one of both is always there
    return DirectoryStale(
        route=known.tenant_id,
        tenant_id=known.tenant_id,
        database_id=known.database_id,
        binding=known.binding,
        version=0 if home is None else home.version,
        expected=None if home is None else home.state,
        found=None if route is None else route.state,
        found_version=0 if route is None else route.version,
        leads_to=None if route is None else route.database_id,
    )
