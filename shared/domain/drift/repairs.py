"""What the reconciler may do about drift: a closed union, and there is no delete in it.

Each depends on what it was decided on, by its `version` where that says it: what was changed since
is not repaired but looked at again, so that two reconcilers at once do nothing twice.
"""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

__all__ = [
    "DropBinding",
    "FailTenant",
    "GiveSlot",
    "HandBack",
    "MigratePooled",
    "Readopt",
    "RefillPool",
    "Repair",
    "RepublishRoute",
    "RepublishShard",
    "SetAside",
    "ShutRoute",
    "WakeDatabase",
    "WakeTenant",
]


@dataclass(frozen=True, slots=True)
class RepublishShard:
    """Have a shard's bindings published as the table says."""

    word: ClassVar = "rebind"
    script: str
    version: int


@dataclass(frozen=True, slots=True)
class DropBinding:
    """Have a shard published without a binding that the table knows nothing of.

    That the table still has no slot for it is what it depends on, and no version: one publish drops
    many.
    """

    word: ClassVar = "unbind"
    script: str
    ulid: str


@dataclass(frozen=True, slots=True)
class GiveSlot:
    """Give a database its slot in the table again, on the shard where it belongs."""

    word: ClassVar = "rebind"
    script: str
    ulid: str


@dataclass(frozen=True, slots=True)
class RepublishRoute:
    """Write a tenant's row into the directory anew, above the version that is there."""

    word: ClassVar = "route"
    tenant_id: str
    version: int
    above: int


@dataclass(frozen=True, slots=True)
class ShutRoute:
    """Close the row of a tenant that the table does not know and that leads to somebody's data."""

    word: ClassVar = "shut"
    tenant_id: str
    above: int


@dataclass(frozen=True, slots=True)
class Readopt:
    """Give a database whose record was lost a record again, quarantined; `owner` stays its own."""

    word: ClassVar = "readopt"
    ulid: str
    database_id: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class HandBack:
    """Give a database whose record was lost back to the tenant whose record names it."""

    word: ClassVar = "hand_back"
    ulid: str
    database_id: str
    tenant_id: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Quarantine the record of a database that is gone and nobody's; the pool makes another."""

    word: ClassVar = "replace"
    ulid: str
    version: int


@dataclass(frozen=True, slots=True)
class FailTenant:
    """Say of a tenant that its database is gone; only a restore brings it back."""

    word: ClassVar = "fail"
    tenant_id: str
    ulid: str
    version: int


@dataclass(frozen=True, slots=True)
class WakeTenant:
    """Send a tenant on its way again."""

    word: ClassVar = "wake"
    tenant_id: str


@dataclass(frozen=True, slots=True)
class WakeDatabase:
    """Send a database on its way again."""

    word: ClassVar = "wake"
    ulid: str


@dataclass(frozen=True, slots=True)
class RefillPool:
    """Have the pool of a class filled."""

    word: ClassVar = "refill"
    class_: str


@dataclass(frozen=True, slots=True)
class MigratePooled:
    """Have a database of the pool brought to the head; `seen` is what its ledger says."""

    word: ClassVar = "migrate"
    ulid: str
    version: int
    seen: str


Repair: TypeAlias = (
    RepublishShard
    | DropBinding
    | GiveSlot
    | RepublishRoute
    | ShutRoute
    | Readopt
    | HandBack
    | SetAside
    | FailTenant
    | WakeTenant
    | WakeDatabase
    | RefillPool
    | MigratePooled
)
