"""What each kind of drift is seen by, how bad it is, and what it proposes."""

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.database import DatabaseStatus
from shared.domain.drift.bindings import (
    Belonging,
    BindingUnexpected,
    ShardSeen,
    compare_bindings,
    compare_places,
)
from shared.domain.drift.contents import Measured, compare_contents, right_schemas
from shared.domain.drift.databases import Pointer, Recorded, compare_databases
from shared.domain.drift.decide import ForPeople, Later, Now, Seen, in_order, judge
from shared.domain.drift.every import KINDS, AnyDrift, dump_drift, load_drift
from shared.domain.drift.policy import (
    DEFAULT_POLICY,
    OF_WORKERS,
    DriftKind,
    parse_policy,
)
from shared.domain.drift.repairs import (
    DropBinding,
    FailTenant,
    GiveSlot,
    HandBack,
    MigratePooled,
    Readopt,
    RepublishRoute,
    RepublishShard,
    SetAside,
    ShutRoute,
)
from shared.domain.drift.routes import Home, Route, compare_routes, giving_way
from shared.domain.finding import Severity
from shared.domain.names import binding_name, database_name
from shared.domain.worker import Slot

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
A, B, C = ("01J0000000000000000000000A", "01J0000000000000000000000B", "01J0000000000000000000000C")
S = DatabaseStatus


def recorded(ulid: str, status: S, owner: str | None = None, *, fresh: bool = False) -> Recorded:
    return Recorded(ulid, status, f"uuid-{ulid}", owner, 3, fresh)


def databases(
    listed: dict[str, str],
    *records: Recorded,
    pointers: tuple[Pointer, ...] = (),
    trusted: bool = True,
) -> list[AnyDrift]:
    return list(compare_databases("acme", listed, records, pointers, trusted=trusted))


@pytest.mark.parametrize(
    ("record", "severity", "repair"),
    [
        (recorded(A, S.READY), Severity.WARNING, SetAside(A, 3)),
        (recorded(A, S.CLAIMED, "org_a"), Severity.CRITICAL, FailTenant("org_a", A, 3)),
        (recorded(A, S.DETACHED, "org_a"), Severity.CRITICAL, SetAside(A, 3)),
        (recorded(A, S.UNBINDING, "org_a"), Severity.CRITICAL, None),
    ],
)
def test_a_missing_database(record: Recorded, severity: Severity, repair: object) -> None:
    """What D1 lacks is worst if it is a tenant's; a tenant fails, what is nobody's is set aside."""
    [seen] = databases({}, record)
    assert (seen.kind, seen.severity, seen.repair) == ("database_missing", severity, repair)
    assert seen.sighting().database_name == database_name("acme", A)


@pytest.mark.parametrize(
    "record", [recorded(A, S.CREATING), recorded(A, S.DELETED), recorded(A, S.READY, fresh=True)]
)
def test_what_need_not_be_on_d1_is_not_missing(record: Recorded) -> None:
    """What is not made yet, deleted, or was changed while the listing was read is not judged."""
    assert databases({}, record) == []


def test_a_listing_that_is_no_evidence_proves_only_what_it_has() -> None:
    """Nothing is missing by it; what is there in another's place, or without a record, still is."""
    seen = databases(
        {A: "other", B: "uuid"}, recorded(A, S.READY), recorded(C, S.READY), trusted=False
    )
    assert [(each.kind, each.subject) for each in seen] == [
        ("database_missing", A),
        ("database_orphan", B),
    ]


def test_a_record_that_is_read_twice_is_one() -> None:
    """A record that moved between two statuses while they were read is judged once."""
    assert databases({A: f"uuid-{A}"}, recorded(A, S.READY), recorded(A, S.CLAIMED, "org_a")) == []


def test_a_tenant_that_names_what_is_nowhere() -> None:
    """A tenant whose database has neither record nor place on D1 fails, unless just moved."""
    names = Pointer("org_a", A, "uuid", served=True), Pointer("org_b", B, "uuid", judged=False)
    [seen] = databases({}, pointers=names)
    assert (seen.subject, seen.tenant_id, seen.repair) == (A, "org_a", FailTenant("org_a", A, 0))
    [left] = databases({}, pointers=(names[0]._replace(served=False),))
    assert left.repair is None, "it has failed already, or is leaving"
    [other] = databases({A: f"uuid-{A}"}, recorded(A, S.CLAIMED, "org_a"), pointers=names[:1])
    assert other.repair is None, "record and tenant name two: people have to look"


@pytest.mark.parametrize("served", [True, False])
def test_a_tenant_fails_though_a_publish_found_its_database_gone_first(served: bool) -> None:
    """Set aside by whoever noticed first, it is still to fail its tenant, until that has failed."""
    names = Pointer("org_a", A, f"uuid-{A}", served=served)
    [seen] = databases({}, recorded(A, S.QUARANTINED, "org_a"), pointers=(names,))
    assert seen.repair == (FailTenant("org_a", A, 3) if served else None)


def test_orphans() -> None:
    """One that a tenant's record names is handed back, another adopted; none is deleted."""
    named, other = databases({A: "a", B: "b"}, pointers=(Pointer("org_a", A, "a"),))
    assert (named.severity, named.repair) == (Severity.ERROR, HandBack(A, "a", "org_a"))
    assert (other.severity, other.repair) == (Severity.WARNING, Readopt(B, "b", None))
    assert other.model_copy(update={"tenant_id": "org_b"}).repair == Readopt(B, "b", "org_b")
    assert other.model_copy(update={"deleted": True}).repair is None


def shard(*slots: Slot, **bound: str | None) -> ShardSeen:
    return ShardSeen(
        "acme-pool-1", 7, 2, slots, {f"DB_{ulid}": uuid for ulid, uuid in bound.items()}
    )


def slot(ulid: str, **more: object) -> Slot:
    fields = {"ulid": ulid, "binding": binding_name(ulid), "database_id": f"uuid-{ulid}"}
    return Slot.model_validate({**fields, "generation": 1, **more})


def test_bindings() -> None:
    """What was published is missed, what leads elsewhere is critical, the unasked goes."""
    seen = {
        each.binding: each
        for each in compare_bindings("acme", shard(slot(A), slot(B), **{B: "other", C: "uuid-c"}))
    }
    missing, wrong, more = (seen[binding_name(each)] for each in (A, B, C))
    assert (missing.kind, missing.repair) == (
        "binding_missing",
        RepublishShard("acme-pool-1", 7),
    )
    assert (wrong.kind, wrong.severity) == ("binding_wrong", Severity.CRITICAL)
    assert (more.kind, more.repair) == (
        "binding_unexpected",
        DropBinding("acme-pool-1", C),
    )
    assert isinstance(more, BindingUnexpected)
    for each in seen.values():
        slotless = each.model_copy(update={"slotless": True})
        assert slotless.repair == GiveSlot("acme-pool-1", each.ulid)
    assert more.model_copy(update={"unrecorded": True}).repair is None
    assert {each.sighting().evidence["shard"] for each in seen.values()} == {"acme-pool-1"}


@pytest.mark.parametrize(
    "one",
    [
        slot(A, generation=None),
        slot(A, generation=3),
        slot(A, leaving=True, left_generation=2),
        slot(A, leaving=True),
    ],
)
def test_what_no_publish_carried_yet_is_not_missed(one: Slot) -> None:
    """A slot that is newer than what was published, or leaving, may be without its binding."""
    assert list(compare_bindings("acme", shard(one))) == []


def test_what_lost_slot_and_binding() -> None:
    """The record alone says where it belongs: it gets its slot again, at first sight."""
    belonging = [Belonging(each, f"uuid-{each}", "org_a") for each in (A, B, C)]
    seen = shard(slot(A), **{A: f"uuid-{A}", B: f"uuid-{B}"})
    [lost] = compare_places("acme", seen, belonging)
    assert (lost.kind, lost.binding, lost.tenant_id) == (
        "binding_missing",
        binding_name(C),
        "org_a",
    )
    assert lost.repair == GiveSlot("acme-pool-1", C)
    assert isinstance(judge(lost, policy=DEFAULT_POLICY, before=None, now=NOW), Now)


def test_a_binding_that_came_back() -> None:
    """One that a publish left out and that is there again is published away."""
    left = slot(A, leaving=True, left_generation=2)
    [seen] = compare_bindings("acme", shard(left, **{A: f"uuid-{A}"}))
    assert (seen.kind, seen.repair) == ("binding_unexpected", RepublishShard("acme-pool-1", 7))
    not_yet = slot(A, leaving=True, left_generation=3)
    assert list(compare_bindings("acme", shard(not_yet, **{A: f"uuid-{A}"}))) == []


def test_routes() -> None:
    """Rows that differ, lack or are too many are found; a tenant on its way is left alone."""
    home = Home("org_a", "active", "s", "b", "u", 5)
    homes = {
        "org_a": home,
        "org_b": home._replace(tenant_id="org_b"),
        "org_c": home._replace(tenant_id="org_c", state=None),
        "org_d": home._replace(tenant_id="org_d", state="suspended"),
        "org_e": home._replace(tenant_id="org_e"),
        "org_f": home._replace(tenant_id="org_f", state=None),
    }
    rows = [
        Route("org_a", "active", "s", "b", "u", 4),
        Route("org_b", "active", "s", "b", "u", 6),
        Route("org_c", "closed", None, None, None, 1),
        Route("org_d", "active", "s", "b", "u", 5),
        Route("org_x", "active", "s", "b", "u", 5),
    ]
    seen = {each.subject: each for each in compare_routes(homes, [rows[:2], rows[2:]])}
    assert set(seen) == {"org_b", "org_d", "org_e", "org_x"}
    assert seen["org_b"].repair == RepublishRoute("org_b", 5, 6)
    assert (seen["org_d"].severity, seen["org_d"].found) == (Severity.ERROR, "active")
    assert (seen["org_e"].found, seen["org_e"].severity) == (None, Severity.WARNING)
    assert seen["org_x"].repair is None
    foreign = seen["org_x"].model_copy(update={"foreign": "org_a"})
    assert (foreign.severity, foreign.repair) == (Severity.CRITICAL, ShutRoute("org_x", 5))
    assert not homes


def test_routes_of_tenants_on_their_way() -> None:
    """Only what leads to another's data, or keeps their own row from being written, is drift."""
    on_its_way = Home("org_a", None, "s", "b", "u", 5)
    own = Route("org_a", "active", "s", "b", "u", 5)
    assert list(compare_routes({"org_a": on_its_way}, [[own]])) == []
    assert list(compare_routes({"org_a": on_its_way}, [[]])) == []
    [ahead] = compare_routes({"org_a": on_its_way}, [[own._replace(version=6)]])
    assert (ahead.is_drift, ahead.repair) == (True, RepublishRoute("org_a", 5, 6))
    [elsewhere] = compare_routes({"org_a": on_its_way}, [[own._replace(database_id="v")]])
    assert not elsewhere.is_drift, "it may be what the tenant had before"
    [bound] = compare_routes({"org_a": on_its_way}, [[own._replace(binding="c")]])
    assert not bound.is_drift
    foreign = elsewhere.model_copy(update={"foreign": "org_b"})
    assert (foreign.is_drift, foreign.severity) == (True, Severity.CRITICAL)
    assert foreign.repair == RepublishRoute("org_a", 5, 5)


@pytest.mark.parametrize(
    ("version", "standing", "written"),
    [(6, 5, 6), (6, 6, 7), (6, 9000, 9001), (6, 6 + 2**32, 7 + 2**32), (6, 7 + 2**32, 6)],
)
def test_what_a_row_gives_way_to(version: int, standing: int, written: int) -> None:
    """A newer version; where none is newer because it was falsified, the tenant's own."""
    assert giving_way(version, standing) == written


def measured(ulid: str, *, version: str = "2", schema: str = "right", size: int = 1) -> Measured:
    return Measured(ulid, "uuid", None, True, 4, size, schema, version)


def test_contents() -> None:
    """A ledger that lacks files, a schema like no other and a size near the limit are found."""
    rows = [
        measured(A, version="1"),
        measured(B, schema="wrong"),
        measured(C, size=96),
    ]
    seen = list(compare_contents("acme", rows, head="2", right={"2": "right"}, limit=100))
    behind, drift, size = seen
    assert (behind.kind, behind.repair) == ("schema_behind", MigratePooled(A, 4, "1"))
    assert (drift.kind, drift.subject, drift.repair) == ("schema_drift", B, None)
    assert (size.kind, size.severity) == ("size_near_limit", Severity.ERROR)
    tenants = [rows[0]._replace(pooled=False, tenant_id="org_a")]
    [behind] = compare_contents("acme", tenants, head="2", right={}, limit=100)
    assert (behind.severity, behind.repair) == (Severity.INFO, None)


def test_which_schema_is_right() -> None:
    """What the migrations make counts if any database has it, else what most of three have."""
    rows = [measured(A, schema="x"), measured(B, schema="x"), measured(C, schema="y")]
    assert right_schemas(rows, {"2": "y"}) == {"2": "y"}
    assert right_schemas(rows, {"2": "z"}) == {}
    assert right_schemas([*rows, measured(A, schema="x")], {"2": "z"}) == {"2": "x"}


def one_of_each() -> list[AnyDrift]:
    about = {"script": "s", "ulid": A, "version": 1, "bound_to": "u", "binding": "DB"}
    contents = {"ulid": A, "seen": "1"}
    fields: dict[DriftKind, dict[str, object]] = {
        DriftKind.DATABASE_MISSING: {"ulid": A, "status": "ready"},
        DriftKind.DATABASE_ORPHAN: {"ulid": A, "database_id": "u"},
        DriftKind.BINDING_MISSING: {key: about[key] for key in about if key != "bound_to"},
        DriftKind.BINDING_WRONG: about,
        DriftKind.BINDING_DANGLING: about,
        DriftKind.BINDING_UNEXPECTED: about,
        DriftKind.DIRECTORY_STALE: {"route": "org_a", "expected": "active", "found": "active"},
        DriftKind.SCHEMA_BEHIND: {**contents, "pooled": True, "version": 1, "head": "2"},
        DriftKind.SCHEMA_DRIFT: {**contents, "schema_hash": "x", "expected": "y"},
        DriftKind.TENANT_STUCK: {"tenant_id": "org_a", "status": "pending", "since": NOW},
        DriftKind.TEARDOWN_OVERDUE: {"ulid": A, "since": NOW, "held_up": "why"},
        DriftKind.SIZE_NEAR_LIMIT: {"ulid": A, "size": 9, "limit": 10},
        DriftKind.POOL_LOW: {"class_": "weur", "target": 2, "ready": 0, "making": 0},
        DriftKind.DLQ_NOT_EMPTY: {"queue": "work", "depth": 1},
    }
    return [KINDS[kind].model_validate(each) for kind, each in fields.items()]


def test_every_kind_can_be_written_down_and_told() -> None:
    """Each kind survives being written down, has a line for people, and its own fingerprint."""
    drifts = one_of_each()
    assert {drift.kind for drift in drifts} == set(DriftKind) - set(OF_WORKERS)
    for drift in drifts:
        assert load_drift(dump_drift(drift)) == drift
        told = drift.sighting()
        assert told.summary
        assert told.evidence
    assert len({drift.sighting().fingerprint for drift in drifts}) == len(drifts)


def test_only_what_harms_nobody_is_repaired_at_first_sight() -> None:
    """All else takes a second real pass and a day; certainty, and nothing else, shortens that."""
    at_once = {
        drift.kind
        for drift in one_of_each()
        if isinstance(judge(drift, policy=DEFAULT_POLICY, before=None, now=NOW), Now)
    }
    assert at_once == {
        "binding_missing",
        "binding_wrong",
        "directory_stale",
        "tenant_stuck",
        "pool_low",
    }
    orphan = one_of_each()[1]
    yesterday = Seen(NOW - timedelta(hours=24), 1)
    for before, expected in (
        (None, Later),
        (Seen(NOW - timedelta(hours=23), 5), Later),
        (yesterday, Now),
        (Seen(NOW - timedelta(days=3), 0), Later),
    ):
        assert isinstance(judge(orphan, policy=DEFAULT_POLICY, before=before, now=NOW), expected)
    policy = parse_policy("database_orphan=alert")
    assert judge(orphan, policy=policy, before=yesterday, now=NOW) == ForPeople()
    missing = one_of_each()[0].model_copy(update={"certain": True})
    assert isinstance(judge(missing, policy=DEFAULT_POLICY, before=None, now=NOW), Now)


def test_the_order_is_always_the_same() -> None:
    """The worst comes first, each thing once, and what the policy turns off not at all."""
    drifts = one_of_each()
    told = in_order(drifts, DEFAULT_POLICY)
    assert told == in_order([*reversed(drifts), *drifts], DEFAULT_POLICY)
    assert told[0].severity is Severity.CRITICAL
    off = parse_policy("binding_wrong=off")
    assert "binding_wrong" not in {drift.kind for drift in in_order(drifts, off)}
