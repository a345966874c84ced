"""Databases: those that the table has and D1 has not, and those that only D1 has.

D1 is listed first and the table read afterwards: a record is written before its database is made,
so that whatever is listed had its record by then. What was changed since the listing began is not
judged in this pass.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final, NamedTuple

from shared.domain.database import MAKING, DatabaseStatus
from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import FailTenant, HandBack, Readopt, Repair, SetAside
from shared.domain.finding import Severity
from shared.domain.names import binding_name, database_name

__all__ = [
    "ON_D1",
    "DatabaseMissing",
    "DatabaseOrphan",
    "Pointer",
    "Recorded",
    "compare_databases",
]

_S = DatabaseStatus
ON_D1: Final = frozenset(
    {
        *(_S.BINDING, _S.MIGRATING, _S.READY, _S.CLAIMED, _S.DETACHED),
        *(_S.EXPORTING, _S.UNBINDING, _S.REBINDING),
    }
)
"""Statuses of a database that D1 must have."""

_NOBODYS: Final = frozenset({*MAKING, _S.READY, _S.DETACHED})


class Recorded(NamedTuple):
    """What is compared of a database's record. `fresh`: changed since the listing began."""

    ulid: str
    status: DatabaseStatus
    database_id: str | None
    owner: str | None
    version: int
    fresh: bool = False


class Pointer(NamedTuple):
    """Which database a tenant's record names; `judged` unless it was changed just now.

    `served` says that the tenant is, or is about to be, served from it.
    """

    tenant_id: str
    ulid: str
    database_id: str | None
    judged: bool = True
    served: bool = False


class DatabaseMissing(Drift):
    """A database that should be on D1 is not there."""

    kind: ClassVar = DriftKind.DATABASE_MISSING

    ulid: str
    status: DatabaseStatus | None
    version: int = 0
    served: bool = False
    """A tenant is still said to be served from it, although it was set aside or has no record."""
    instead: str | None = None
    """The uuid of another database that has its name by now."""

    @property
    def subject(self) -> str:
        """Return the database's ULID."""
        return self.ulid

    @property
    def severity(self) -> Severity:
        """Say how bad it is: a tenant's data is gone, or a database of the pool."""
        return Severity.WARNING if self.tenant_id is None else Severity.CRITICAL

    @property
    def summary(self) -> str:
        """Return one line for people."""
        if self.tenant_id is None:
            return f"{self.database_name}, a database of the pool, is not on D1"
        return (
            f"{self.database_name}, the database of {self.tenant_id}, is not on D1: "
            f"`d1fleet restore {self.tenant_id}` brings back its newest backup "
            "(with --replace while the tenant is active)"
        )

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it: nothing ever puts an empty one in the place of a tenant's."""
        theirs = self.status is DatabaseStatus.CLAIMED or self.served
        if theirs and self.tenant_id is not None:
            return FailTenant(self.tenant_id, self.ulid, self.version)
        if self.status is DatabaseStatus.DETACHED:
            return SetAside(self.ulid, self.version)
        if self.status in _NOBODYS and self.tenant_id is None:
            return SetAside(self.ulid, self.version)
        return None

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"status": str(self.status or "no record"), "instead": self.instead}


class DatabaseOrphan(Drift):
    """A database with a name of ours is on D1, and no record says so.

    `named_by` says that a tenant's record names it, `deleted` that its record says so.
    """

    kind: ClassVar = DriftKind.DATABASE_ORPHAN

    ulid: str
    named_by: str | None = None
    deleted: bool = False

    @property
    def subject(self) -> str:
        """Return the database's ULID."""
        return self.ulid

    @property
    def severity(self) -> Severity:
        """Say how bad it is: what is a tenant's must be found again."""
        return Severity.WARNING if self.tenant_id is None else Severity.ERROR

    @property
    def summary(self) -> str:
        """Return one line for people."""
        if self.deleted:
            return f"{self.database_name} is on D1 although its record says that it was deleted"
        whose = f", the database of {self.tenant_id}," if self.tenant_id else ""
        return f"{self.database_name}{whose} is on D1 and has no record: it is never deleted by us"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it."""
        if self.database_id is None or self.deleted:
            return None
        if self.named_by is not None and self.named_by == self.tenant_id:
            return HandBack(self.ulid, self.database_id, self.named_by)
        return Readopt(self.ulid, self.database_id, self.tenant_id)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"named_by": self.named_by, "record": "deleted" if self.deleted else "none"}


def compare_databases(
    fleet: str,
    listed: Mapping[str, str],
    recorded: Iterable[Recorded],
    pointers: Iterable[Pointer],
    *,
    trusted: bool,
) -> Iterator[DatabaseMissing | DatabaseOrphan]:
    """Compare what D1 lists (uuids by ULID) with the records, and with what tenants name.

    A listing that is not `trusted` proves what it has and nothing of what it lacks. Records come in
    any order, some perhaps twice: they are read while they change.
    """
    left = dict(listed)
    known: dict[str, str | None] = {}
    aside: dict[str, Recorded] = {}
    for record in recorded:
        ulid = record.ulid
        if ulid in known:
            continue
        known[ulid] = record.database_id
        uuid = left.pop(ulid, None)
        if uuid == record.database_id or record.fresh or (uuid is None and not trusted):
            continue
        if record.status is _S.QUARANTINED:
            aside[ulid] = record
        elif record.status in ON_D1:
            yield _missing(fleet, record, uuid)
    named: dict[str, str] = {}
    for pointer in pointers:
        ulid = pointer.ulid
        if ulid in aside:
            # Its tenant failed for it, and it is still not back.
            missing = _missing(fleet, aside.pop(ulid), listed.get(ulid))
            yield missing.model_copy(update={"served": pointer.served})
        elif left.get(ulid) == pointer.database_id and ulid not in known:
            named[ulid] = pointer.tenant_id
        elif known.get(ulid) != pointer.database_id and pointer.judged:
            # What has its name by now is another database, and empty: no tenant is given that.
            instead = listed.get(ulid)
            if trusted or instead is not None:
                names = _names(fleet, ulid, pointer.database_id, pointer.tenant_id)
                # A record that names yet another database is for people to compare with this.
                served = pointer.served and ulid not in known
                yield DatabaseMissing(
                    **names, ulid=ulid, status=None, instead=instead, served=served
                )
    for ulid, uuid in sorted(left.items()):
        owner = named.get(ulid)
        yield DatabaseOrphan(**_names(fleet, ulid, uuid, owner), ulid=ulid, named_by=owner)


def _missing(fleet: str, record: Recorded, instead: str | None) -> DatabaseMissing:
    return DatabaseMissing(
        **_names(fleet, record.ulid, record.database_id, record.owner),
        ulid=record.ulid,
        status=record.status,
        version=record.version,
        instead=instead,
    )


def _names(fleet: str, ulid: str, uuid: str | None, tenant_id: str | None) -> dict[str, str | None]:
    return {
        "database_id": uuid,
        "database_name": database_name(fleet, ulid),
        "binding": binding_name(ulid),
        "tenant_id": tenant_id,
    }
