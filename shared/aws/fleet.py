"""The fleet's own record: whose table this is, and where its directory and router are."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from shared.aws.table import Condition, Put, Table
from shared.domain.lifecycle import Instant
from shared.errors import Transient

__all__ = ["Fleet", "FleetStore"]


class Fleet(BaseModel):
    """Hold the identity of a fleet, made once by `init`.

    `uid` is random and kept here, in the directory and in every pool Worker: a stack cloned from
    another one owns nothing on Cloudflare.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    fleet: str
    uid: str
    account_id: str
    directory_id: str
    router_url: str
    created_at: Instant


class FleetStore:
    """Read and write the fleet's record."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Fleet | None:
        """Return the fleet, or None before `init`."""
        item = self._table.get("FLEET")
        return Fleet.model_validate(item) if item else None

    def get(self) -> Fleet:
        """Return the fleet.

        Raises:
            Transient: `init` has not run yet; whatever asks may wait for it.
        """
        fleet = self.read()
        # Half of an identity is none: whoever acted on it could act on another fleet's things.
        if fleet is None or not (fleet.directory_id and fleet.router_url):
            raise Transient("this fleet is not set up yet: run `d1fleet init`", retry_after=30)
        return fleet

    def create(self, fleet: Fleet) -> None:
        """Write the fleet down, once.

        Raises:
            Conflict: it is there already.
        """
        self._put(fleet, Condition("fleet is new", "attribute_not_exists(pk)"))

    def replace(self, fleet: Fleet) -> None:
        """Change the directory or the address of a fleet; its uid stays what it is."""
        same = Condition("fleet is ours", "uid = :uid", values={":uid": fleet.uid})
        self._put(fleet, same)

    def _put(self, fleet: Fleet, condition: Condition) -> None:
        item: dict[str, Any] = {"pk": "FLEET", "sk": "META", **fleet.model_dump()}
        self._table.write(Put(item, condition))
