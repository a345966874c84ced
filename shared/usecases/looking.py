"""What every part of a reconciler's pass looks with, and what it counts."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from shared.cloudflare.client import LaneClient
from shared.cloudflare.errors import CutShort
from shared.domain.budget import Lane
from shared.domain.classes import DATABASE_CLASSES
from shared.domain.database import DatabaseStatus
from shared.domain.drift.evidence import Listing
from shared.domain.lifecycle import iso
from shared.domain.tenant import TenantStatus
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["Looking"]

MOST_ASKED: Final = 25
"""So many databases are asked for one by one; for more than these the list is read."""

Item = Mapping[str, Any]


@dataclass
class Looking:
    """Look at a fleet from one moment on; `calls` counts what is asked of Cloudflare's API.

    Records are read as the items that they are: at a million of them, making each a model of its
    own would take longer than all the rest. `depths` counts the messages in the queues.
    """

    control: Control
    outside: Outside
    depths: Callable[[], Mapping[str, int]]
    began: datetime
    calls: int = 0
    _names: dict[str, str | None] = field(default_factory=dict)

    @property
    def fleet(self) -> str:
        """Return the fleet's name."""
        return self.control.settings.fleet

    def api(self, reserve: int = 0) -> LaneClient:
        """Return the API on the lane of repairs, with permits for so many calls taken beforehand.

        Raises:
            NoPermit: not all of them are to be had now.
        """
        lane = self.outside.cloudflare().on(Lane.REPAIR)
        return lane.reserve(reserve) if reserve else lane

    def fresh(self, item: Item) -> bool:
        """Say whether a record was changed since this began."""
        return str(item["updated_at"]) >= iso(self.began)

    def databases(self, *statuses: DatabaseStatus) -> Iterator[Item]:
        """Yield the databases of some statuses, of all classes that there are. It is a hint."""
        for class_ in sorted(DATABASE_CLASSES):
            for status in statuses:
                yield from self._by_status(f"database#{class_}#{status}")

    def tenants(self, *statuses: TenantStatus) -> Iterator[Item]:
        """Yield the tenants of some statuses. It is a hint."""
        for status in statuses:
            yield from self._by_status(f"tenant#{status}")

    def name_on_d1(self, uuid: str) -> str | None:
        """Ask D1 what a database is called, once a pass; None if it has none of this uuid.

        Raises:
            NoPermit: the budget says wait.
        """
        if uuid not in self._names:
            self.calls += 1
            found = self.api().d1.get(uuid)
            self._names[uuid] = None if found is None else found.name
        return self._names[uuid]

    def names_on_d1(self, uuids: Collection[str]) -> dict[str, str | None]:
        """Ask D1 what databases are called; None if it has none of that uuid.

        However many they are, it costs no more calls than a step can get permits for. Those that a
        list which is no evidence lacks are left out.

        Raises:
            NoPermit: the budget says wait.
        """
        if len(uuids) <= MOST_ASKED:
            return {uuid: self.name_on_d1(uuid) for uuid in uuids}
        listing = Listing(self.fleet, wanted=frozenset(uuids))
        self.list_d1(listing)
        lacking = {} if listing.flaw else dict.fromkeys(uuids)
        return lacking | listing.names

    def list_d1(self, listing: Listing, pages: int = 0) -> None:
        """Read D1's whole list; that it contradicts itself is written down as a flaw.

        Raises:
            NoPermit: permits for so many pages are not to be had now; nothing was begun.
        """
        try:
            for page in self.api(reserve=pages).d1.pages():
                self.calls += 1
                listing.add([(database.name, database.uuid) for database in page.databases])
        except CutShort as error:
            listing.flaw = str(error)

    def _by_status(self, key: str) -> Iterator[Item]:
        yield from self.control.state.table.query_index("by_status", ("status_key", key))
