"""The directory: where its rows differ from what the tenants' records say.

Rows come in the order of tenant ids, page by page; tenants are held by their id, those that are
ours and no more of them than what a row says.
"""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Final, NamedTuple

from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import Repair, RepublishRoute, ShutRoute
from shared.domain.finding import Severity

__all__ = ["DirectoryStale", "Home", "Route", "compare_routes", "giving_way"]

_SERVED: Final = "active"
_SHUT: Final = "closed"
_ON_ITS_WAY: Final = "on its way"

MOST_AHEAD: Final = 2**32
"""A row that is so far ahead of a record was falsified: its version is no count of changes.

The router knows the same number (`worker/src/router/directory.js`), and lets any row replace it.
"""


class Home(NamedTuple):
    """What the directory should hold of a tenant; `state` None: on its way, and hardly judged."""

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
    leads to, if that is another one: only the router can tell.
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
    def is_drift(self) -> bool:
        """Say whether it is more than a tenant on its way whose row leads to what it had before."""
        ahead = self.found_version > self.version
        return self.expected != _ON_ITS_WAY or self.foreign is not None or ahead

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
        if self.expected == _ON_ITS_WAY:
            return f"{self.route} is on its way, and its row in the directory is ahead of it"
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
            elif home.state is None and _is_in_the_way(home, route):
                yield _stale(home._replace(state=_ON_ITS_WAY), route)
            elif home.state is not None and _differs(home, route):
                yield _stale(home, route)
    for home in homes.values():
        if home.state is not None:
            yield _stale(home, None)
    homes.clear()


def _differs(home: Home, route: Route) -> bool:
    # The tuples have the same fields in the same order; the row's version may only be behind.
    return home[:5] != route[:5] or route.version > home.version


def _is_in_the_way(home: Home, route: Route) -> bool:
    """Say whether a row may hurt its tenant, who is on its way, or somebody else."""
    leads = (route.database_id, home.database_id), (route.binding, home.binding)
    elsewhere = any(there not in {None, own} for there, own in leads)
    return elsewhere or route.version > home.version


def giving_way(version: int, standing: int) -> int:
    """Return the version, `version` or more, to which a row of version `standing` gives way.

    One that was falsified so that nothing could be above it gives way to any.
    """
    return version if standing > version + MOST_AHEAD else max(version, standing + 1)


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
