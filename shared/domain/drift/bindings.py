"""Bindings: what a shard's settings hold, against the slots that the table has of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple, TypeAlias

from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.databases import ON_D1
from shared.domain.drift.kinds import Drift, Evidence
from shared.domain.drift.policy import DriftKind
from shared.domain.drift.repairs import DropBinding, GiveSlot, Repair, RepublishShard
from shared.domain.finding import Severity
from shared.domain.names import binding_name, database_name, is_binding, ulid_of_binding
from shared.domain.worker import Binding, Slot

__all__ = [
    "AnyBinding",
    "Belonging",
    "BindingDangling",
    "BindingDrift",
    "BindingMissing",
    "BindingUnexpected",
    "BindingWrong",
    "ShardSeen",
    "bound_databases",
    "compare_bindings",
    "compare_places",
    "known_by_name",
    "known_by_record",
]


class BindingDrift(Drift):
    """Hold what every kind of drift of a binding has. `version` is that of the shard's record.

    `slotless`: its slot was lost, and its database's record says that it belongs here.
    """

    script: str
    ulid: str
    version: int
    slotless: bool = False

    @property
    def subject(self) -> str:
        """Return the shard and the binding."""
        return f"{self.script}/{self.binding}"

    @property
    def severity(self) -> Severity:
        """Say how bad it is."""
        return Severity.ERROR

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it."""
        if self.slotless:
            return GiveSlot(self.script, self.ulid)
        return RepublishShard(self.script, self.version)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"shard": self.script}


class BindingMissing(BindingDrift):
    """A binding that was published, or that its database's record asks for, is not there."""

    kind: ClassVar = DriftKind.BINDING_MISSING

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.script} has no binding to {self.database_name} any more"


class BindingWrong(BindingDrift):
    """A binding names another database than its own: somebody may reach what is not theirs."""

    kind: ClassVar = DriftKind.BINDING_WRONG

    bound_to: str | None

    @property
    def severity(self) -> Severity:
        """Say how bad it is."""
        return Severity.CRITICAL

    @property
    def summary(self) -> str:
        """Return one line for people."""
        there = self.bound_to or "no database"
        return f"{self.binding} on {self.script} leads to {there}, not to {self.database_name}"

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"shard": self.script, "bound_to": self.bound_to}


class BindingUnexpected(BindingDrift):
    """A binding with a name of ours is there that the table does not want on this shard.

    `leaving`: its database is to leave; `unrecorded`: it leads, or may lead, to the database of its
    own name, whose record is not there either. Whoever dropped one of these, or one that lost its
    slot, could cut a tenant off.
    """

    kind: ClassVar = DriftKind.BINDING_UNEXPECTED

    bound_to: str | None
    leaving: bool = False
    unrecorded: bool = False

    @property
    def severity(self) -> Severity:
        """Say how bad it is: what leads nowhere that anybody is sent does no harm by itself."""
        return Severity.WARNING

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.binding} on {self.script} is a binding that nobody asked for"

    @property
    def repair(self) -> Repair | None:
        """Return what would mend it."""
        if self.leaving or self.slotless:
            return super().repair
        if self.unrecorded:
            return None  # once it is settled whose the database is, this is too
        return DropBinding(self.script, self.ulid)

    @property
    def evidence(self) -> Evidence:
        """Return what was seen."""
        return {"shard": self.script, "bound_to": self.bound_to}


class BindingDangling(BindingUnexpected):
    """Such a binding that leads to a database which D1 does not have."""

    kind: ClassVar = DriftKind.BINDING_DANGLING

    @property
    def summary(self) -> str:
        """Return one line for people."""
        return f"{self.binding} on {self.script} leads to a database that is not there"


AnyBinding: TypeAlias = BindingMissing | BindingWrong | BindingUnexpected | BindingDangling


class ShardSeen(NamedTuple):
    """What was seen of a shard: its record's version, its slots, the databases it is bound to.

    `published` is the generation that was read back last; `bound` are the uuids by binding, None
    for a binding of another type.
    """

    script: str
    version: int
    published: int
    slots: Sequence[Slot]
    bound: Mapping[str, str | None]


class Belonging(NamedTuple):
    """Which database's record says that it is bound on a shard, and whose it is."""

    ulid: str
    database_id: str | None
    owner: str | None


def compare_places(
    fleet: str, shard: ShardSeen, belonging: Iterable[Belonging]
) -> Iterator[BindingMissing]:
    """Say which databases a shard should have and has neither slot nor binding of."""
    slots = {slot.ulid for slot in shard.slots}
    for ulid, database_id, owner in belonging:
        binding = binding_name(ulid)
        if ulid not in slots and binding not in shard.bound:
            yield BindingMissing(
                script=shard.script,
                ulid=ulid,
                version=shard.version,
                binding=binding,
                database_id=database_id,
                database_name=database_name(fleet, ulid),
                tenant_id=owner,
                slotless=True,
            )


def known_by_record(seen: BindingUnexpected, record: Database | None) -> AnyBinding | None:
    """Return what an unexpected binding is by the record of the database that its name means.

    None: that does not say, only D1 can.
    """
    if seen.leaving:
        return seen
    if record is not None and record.status in ON_D1 and record.shard == seen.script:
        about = {"database_id": record.database_id, "tenant_id": record.owner}
        known = seen.model_copy(update={**about, "slotless": True})
        if record.database_id != seen.bound_to:
            return BindingWrong(**known.model_dump(exclude={"leaving", "unrecorded"}))
        return known
    return None


def known_by_name(
    seen: BindingUnexpected, record: Database | None, bound_name: str | None
) -> BindingUnexpected:
    """Return what an unexpected binding is by the name of the database that it leads to.

    `bound_name` is None if D1 has no such database.
    """
    if bound_name is None:
        return BindingDangling.model_validate(seen.model_dump())
    own = bound_name == seen.database_name
    # One that was adopted anew may be a tenant's that is served from it.
    unknown = record is None or record.status is DatabaseStatus.QUARANTINED
    return seen.model_copy(update={"unrecorded": own and unknown})


def bound_databases(bindings: Sequence[Binding]) -> dict[str, str | None]:
    """Return what the bindings with names of ours lead to; all others are none of our business."""
    return {str(each["name"]): _uuid(each) for each in bindings if is_binding(str(each["name"]))}


def _uuid(binding: Binding) -> str | None:
    if binding.get("type") != "d1":
        return None
    found = binding.get("database_id") or binding.get("id")
    return None if found is None else str(found)


def compare_bindings(fleet: str, shard: ShardSeen) -> Iterator[AnyBinding]:
    """Say where a shard's bindings differ from its slots.

    What no publish has carried yet may or may not be there. An unexpected binding whose database is
    gone is told from others by whoever can ask D1.
    """
    rest = dict(shard.bound)
    for slot in shard.slots:
        there = slot.binding in rest
        uuid = rest.pop(slot.binding, None)
        about = {
            "script": shard.script,
            "ulid": slot.ulid,
            "version": shard.version,
            "binding": slot.binding,
            "database_id": slot.database_id,
            "database_name": database_name(fleet, slot.ulid),
        }
        if slot.leaving:
            left = slot.left_generation
            if there and left is not None and left <= shard.published:
                yield BindingUnexpected(**about, bound_to=uuid, leaving=True)
        elif there:
            if uuid != slot.database_id:
                yield BindingWrong(**about, bound_to=uuid)
        elif slot.generation is not None and slot.generation <= shard.published:
            yield BindingMissing(**about)
    for name, uuid in sorted(rest.items()):
        ulid = ulid_of_binding(name) or ""
        yield BindingUnexpected(
            script=shard.script,
            ulid=ulid,
            version=shard.version,
            binding=name,
            database_id=uuid,
            database_name=database_name(fleet, ulid),
            bound_to=uuid,
        )
