"""Reach a database from outside: over REST always, through its binding when it is bound."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from shared.cloudflare.client import CloudflareClient, LaneClient
from shared.domain.budget import Lane
from shared.domain.database import Database
from shared.dumps import Live
from shared.errors import Permanent
from shared.usecases.context import Control
from shared.usecases.live_database import OverRest, ThroughRouter
from shared.usecases.outside import Outside
from shared.usecases.patient import Patient

__all__ = ["Source", "reach", "reach_over_rest"]

_FIELDS: Final = ("uuid", "name", "file_size")


@dataclass(frozen=True)
class Source:
    """A database that was seen to be the one on record, and the ways to it.

    `live` asks it: through its binding when it is `bound`, which costs no call of the API. `size`
    is that of its file in bytes, as far as D1 tells.
    """

    database: Database
    uuid: str
    live: Live
    bound: bool
    size: int
    lane: Lane
    cloudflare: CloudflareClient
    api: LaneClient

    @property
    def bookmark(self) -> str:
        """Return Time Travel's bookmark of now."""
        return self.api.d1.bookmark(self.uuid)


def reach(
    control: Control,
    outside: Outside,
    database: Database,
    lane: Lane,
    pause: Callable[[float], None],
) -> Source:
    """See that D1 has the database that is on record, and return the ways to it.

    Raises:
        Permanent: it is another one, or there is none.
    """
    source = reach_over_rest(outside, database, lane, pause)
    slot = control.state.slot(database.shard, database.ulid)
    if slot is None or not slot.live or slot.leaving:
        return source
    live = ThroughRouter(outside.router(), database.shard, database.binding)
    return replace(source, live=live, bound=True)


def reach_over_rest(
    outside: Outside, database: Database, lane: Lane, pause: Callable[[float], None]
) -> Source:
    """See that D1 has the database that is on record, and return the way that is always there.

    Raises:
        Permanent: it is another one, or there is none.
    """
    if database.database_id is None:
        raise Permanent(f"{database.name} was never created on D1: there is nothing to read")
    cloudflare = outside.cloudflare()
    api = cloudflare.on(lane)
    found = api.d1.get(database.database_id, _FIELDS)
    if found is None:
        raise Permanent(
            f"D1 knows no database {database.database_id} ({database.name}): somebody deleted it"
        )
    if found.name != database.name:
        raise Permanent(
            f"D1 says that {database.database_id} is {found.name}, not {database.name}: the state "
            "table was restored or changed by hand"
        )
    return Source(
        database,
        found.uuid,
        Patient(OverRest(api.d1, found.uuid), pause),
        bound=False,
        size=found.file_size or 0,
        lane=lane,
        cloudflare=cloudflare,
        api=api,
    )
