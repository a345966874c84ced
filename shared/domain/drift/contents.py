"""What is in the databases, as measured through their bindings: schema and size.

A schema is compared with the one that the pushed migrations make. Where a fleet's own SQLite writes
definitions down otherwise, what most databases of one version have counts as right.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, TypeAlias

from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import MigratePooled, Repair
from shared.domain.finding import Severity
from shared.domain.names import binding_name, database_name

__all__ = [
    "AnyContents",
    "Contents",
    "Measured",
    "SchemaBehind",
    "SchemaDrift",
    "SizeNearLimit",
    "compare_contents",
    "right_schemas",
]

NEAR: Final = 0.8
_LEAST_VOTES: Final = 3


class Measured(NamedTuple):
    """What was measured of a database. `pooled`: it is nobody's; `version` is its record's."""

    ulid: str
    database_id: str | None
    tenant_id: str | None
    pooled: bool
    version: int
    size: int
    schema_hash: str
    schema_version: str


class Contents(Drift):
    """Hold what every kind of drift of a database's contents has."""

    ulid: str

    @property
    def subject(self) -> str:
        """Return the database's ULID."""
        return self.ulid


class SchemaBehind(Contents):
    """The ledger of a database lacks migrations that were pushed."""

    kind: ClassVar = DriftKind.SCHEMA_BEHIND

    pooled: bool
    version: int
    seen: str
    head: str

    @property
    def severity(self) -> Severity:
        """Say how bad it is: a tenant that waits for its rollout is as it should be for a while."""
        return Severity.WARNING if self.pooled else Severity.INFO

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.database_name} is at {self.seen or 'no migration'}, the head is {self.head}"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it; a tenant's is migrated by a rollout alone."""
        return MigratePooled(self.ulid, self.version, self.seen) if self.pooled else None

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"seen": self.seen or "no migration", "head": self.head}


class SchemaDrift(Contents):
    """The schema of a database is not what its migrations make: somebody changed it by hand."""

    kind: ClassVar = DriftKind.SCHEMA_DRIFT

    seen: str
    schema_hash: str
    expected: str

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"the schema of {self.database_name} is not that of {self.seen or 'no migration'}"

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"seen": self.seen, "schema_hash": self.schema_hash, "expected": self.expected}


class SizeNearLimit(Contents):
    """A database comes near the size at which D1 takes no more writes."""

    kind: ClassVar = DriftKind.SIZE_NEAR_LIMIT

    size: int
    limit: int

    @property
    def summary(self) -> str:
        """Return one line for people."""
        share = 100 * self.size // self.limit
        return f"{self.database_name} has {share} % of the size that D1 allows"

    @property
    def severity(self) -> Severity:
        """Say how bad it is."""
        return Severity.ERROR if self.size >= 0.95 * self.limit else Severity.WARNING

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"size": self.size, "limit": self.limit}


AnyContents: TypeAlias = SchemaBehind | SchemaDrift | SizeNearLimit


def right_schemas(measured: Iterable[Measured], made: Mapping[str, str]) -> dict[str, str]:
    """Return the hash of the right schema by version.

    `made` are those that the migrations make here. One that no database has is not believed: then
    what more than half of at least three have is right.
    """
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for each in measured:
        votes[each.schema_version][each.schema_hash] += 1
    right: dict[str, str] = {}
    for version, counted in votes.items():
        most, count = counted.most_common(1)[0]
        if made.get(version) in counted:
            right[version] = made[version]
        elif count >= _LEAST_VOTES and count * 2 > counted.total():
            right[version] = most
    return right


def compare_contents(
    fleet: str,
    measured: Sequence[Measured],
    *,
    head: str,
    right: Mapping[str, str],
    limit: int,
) -> Iterator[AnyContents]:
    """Say which databases are behind, have another schema than they should, or grow too large.

    `right` are the hashes of the right schemas by version, `limit` is D1's in bytes.
    """
    for each in measured:
        about = {
            "ulid": each.ulid,
            "tenant_id": each.tenant_id,
            "database_id": each.database_id,
            "database_name": database_name(fleet, each.ulid),
            "binding": binding_name(each.ulid),
        }
        seen = each.schema_version
        if seen != head:
            yield SchemaBehind(
                **about, pooled=each.pooled, version=each.version, seen=seen, head=head
            )
        expected = right.get(seen)
        if expected is not None and each.schema_hash != expected:
            yield SchemaDrift(**about, seen=seen, schema_hash=each.schema_hash, expected=expected)
        if each.size >= NEAR * limit:
            yield SizeNearLimit(**about, size=each.size, limit=limit)
