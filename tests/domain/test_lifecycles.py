"""Lifecycles: every step that exists, every step that must not, and what a step leaves behind."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from shared.domain.database import MAKING, UNSETTLED_DATABASE, Database, DatabaseStatus
from shared.domain.lifecycle import BadTransition, iso
from shared.domain.tenant import Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=3)
ULID = "01JDCB6M5V5P6Z5N1QG3YJ7K8E"

TENANT_STEPS = {
    "pending": "activating suspended closing failed",
    "activating": "active suspended closing failed",
    "active": "pending activating suspended closing failed",
    "suspended": "pending activating closing failed",
    "closing": "pending activating suspended closed",
    "closed": "pending",
    "failed": "pending activating suspended closing",
}
DATABASE_STEPS = {
    "creating": "binding deleted quarantined",
    "importing": "binding detached quarantined",
    "binding": "migrating quarantined",
    "migrating": "ready claimed quarantined",
    "ready": "claimed quarantined",
    "claimed": "exporting unbinding detached quarantined",
    "detached": "deleting quarantined",
    "exporting": "claimed unbinding quarantined",
    "unbinding": "rebinding deleting quarantined",
    "rebinding": "claimed quarantined",
    "deleting": "deleted quarantined",
    "deleted": "",
    "quarantined": (
        "creating importing binding migrating claimed detached exporting unbinding rebinding "
        "deleted"
    ),
}


def tenant(status: str, **more: Any) -> Tenant:
    data = {"tenant_id": "org_1", "class_": "weur", "created_at": NOW, "updated_at": NOW}
    return Tenant.model_validate(data | {"status": status, "status_since": NOW} | more)


def database(status: str, **more: Any) -> Database:
    data = {"ulid": ULID, "name": "f-x", "shard": "f-pool-1", "class_": "weur", "created_at": NOW}
    data |= {"updated_at": NOW, "status": status, "status_since": NOW}
    return Database.model_validate(data | more)


@pytest.mark.parametrize("source", TENANT_STEPS)
@pytest.mark.parametrize("target", TenantStatus)
def test_a_tenant_takes_the_steps_of_its_lifecycle_alone(source: str, target: TenantStatus) -> None:
    """A step that the drawing has is taken; every other one is a bug that crashes."""
    before = tenant(source)
    if target in TENANT_STEPS[source].split():
        assert before.moved(target, LATER).status is target
    else:
        with pytest.raises(BadTransition, match=f"Tenant: {source} does not become {target}"):
            before.moved(target, LATER)


@pytest.mark.parametrize("source", DATABASE_STEPS)
@pytest.mark.parametrize("target", DatabaseStatus)
def test_a_database_takes_the_steps_of_its_lifecycle_alone(
    source: str, target: DatabaseStatus
) -> None:
    """A step that the drawing has is taken; every other one is a bug that crashes."""
    before = database(source)
    if target in DATABASE_STEPS[source].split():
        assert before.moved(target, LATER).status is target
    else:
        with pytest.raises(BadTransition, match=f"Database: {source} does not become {target}"):
            before.moved(target, LATER)


@pytest.mark.parametrize("source", DATABASE_STEPS)
def test_an_owned_database_never_becomes_ready(source: str) -> None:
    """No status leads a database that was ever a tenant's back into the pool."""
    owned = database(source, owner="org_1")
    with pytest.raises(BadTransition):
        owned.moved(DatabaseStatus.READY, LATER)
    with pytest.raises(BadTransition):
        owned.changed(LATER, status=DatabaseStatus.READY)


def test_a_database_is_not_made_ready_and_owned_in_one_step() -> None:
    """An owner that arrives with the very step into the pool stops it too."""
    with pytest.raises(BadTransition, match="never becomes ready again"):
        database("migrating").moved(DatabaseStatus.READY, LATER, owner="org_1")


@pytest.mark.parametrize("owner", [None, "org_2"])
def test_a_database_never_changes_hands(owner: str | None) -> None:
    """The owner stays with a database for good, whatever step it takes."""
    owned = database("claimed", owner="org_1", tenant_id="org_1")
    with pytest.raises(BadTransition, match="nobody else's"):
        owned.changed(LATER, owner=owner)
    with pytest.raises(BadTransition, match="nobody else's"):
        owned.moved(DatabaseStatus.QUARANTINED, LATER, owner=owner)
    kept = owned.moved(DatabaseStatus.QUARANTINED, LATER, tenant_id=None)
    assert (kept.owner, kept.tenant_id) == ("org_1", None)


def test_what_was_a_tenants_is_only_deleted_on_the_way_that_proves_it() -> None:
    """A quarantined database that is nobody's may end as gone; one that has an owner may not."""
    quarantined, deleted = DatabaseStatus.QUARANTINED, DatabaseStatus.DELETED
    assert database(quarantined).moved(deleted, LATER).status is deleted
    with pytest.raises(BadTransition, match="by way of deleting"):
        database(quarantined, owner="org_1").moved(deleted, LATER)


def test_no_walk_of_any_length_brings_an_owned_database_back_to_the_pool() -> None:
    """Everything reachable from `claimed` excludes `ready`, unowned paths being cut."""
    reached, front = set(), {database("claimed", owner="org_1")}
    while front:
        current = front.pop()
        for target in DatabaseStatus:
            try:
                after = current.moved(target, NOW)
            except BadTransition:
                continue
            if after.status not in reached:
                reached.add(after.status)
                front.add(after)
    assert DatabaseStatus.READY not in reached
    assert {DatabaseStatus.DELETED, DatabaseStatus.REBINDING, DatabaseStatus.MIGRATING} <= reached


def test_a_step_is_a_new_version_and_begins_a_new_chain() -> None:
    """A step counts the version up, resets the chain of messages and keeps all the rest."""
    before = tenant(
        "pending",
        version=7,
        attempts=3,
        failures=2,
        token="old",
        wake_at=NOW,
        reason="because",
        display_name="Acme",
    )
    after = before.moved(TenantStatus.ACTIVATING, LATER, database_ulid=ULID)
    assert (after.version, after.attempts, after.failures) == (8, 0, 0)
    assert (after.token, after.wake_at) == (None, None)
    assert (after.created_at, after.updated_at, after.status_since) == (NOW, LATER, LATER)
    assert (after.reason, after.display_name, after.database_ulid) == ("because", "Acme", ULID)
    assert before.version == 7


def test_a_change_without_a_step_keeps_the_time_of_the_status() -> None:
    """`status_since` tells how long a status lasts, so other changes leave it alone."""
    after = tenant("active").changed(LATER, display_name="Acme")
    assert (after.status_since, after.updated_at) == (NOW, LATER)


@pytest.mark.parametrize(
    ("status", "routed", "settled"),
    [
        ("pending", "pending", False),
        ("activating", "active", False),
        ("active", None, True),
        ("suspended", "active", False),
        ("suspended", "suspended", True),
        ("closing", None, False),
        ("closing", "closing", False),
        ("failed", "pending", False),
        ("failed", "failed", True),
        ("closed", "closing", False),
        ("closed", "closed", True),
    ],
)
def test_a_tenant_is_settled_when_nothing_is_on_its_way(
    status: str, routed: str | None, settled: bool
) -> None:
    """Statuses that end access are settled once the directory holds them; leaving goes on."""
    assert tenant(status, routed_status=routed).settled is settled


def test_what_the_directory_held_is_forgotten_when_access_opens() -> None:
    """Closing, resumed and closing again is not taken for routed: access must be cut anew."""
    routed = tenant("closing", routed_status="closing")
    again = routed.moved(TenantStatus.ACTIVATING, NOW).moved(TenantStatus.CLOSING, LATER)
    assert again.routed_status is None


def test_a_closing_that_ends_otherwise_leaves_nothing_behind() -> None:
    """A tenant that comes back has no proof, no point of no return and no grace left over."""
    closing = tenant(
        "closing",
        closing_id="1-2",
        grace=timedelta(0),
        grace_ends_at=NOW,
        access_cut_at=NOW,
        without_backup=True,
        past_no_return=True,
        final_backup_id=ULID,
    )
    back = closing.moved(TenantStatus.ACTIVATING, LATER)
    assert (back.closing_id, back.grace_ends_at, back.access_cut_at) == (None, None, None)
    assert (back.without_backup, back.past_no_return) == (False, False)
    assert back.grace is None  # or the next closing would be over as soon as this one
    closed = closing.moved(TenantStatus.CLOSED, LATER)
    assert (closed.closing_id, closed.final_backup_id) == ("1-2", ULID)


def test_the_next_life_of_an_id_has_nothing_of_the_last() -> None:
    """Signed up anew, an id has no database, no word of an operator and no backup of before."""
    old = tenant(
        "closed",
        episode=2,
        database_ulid=ULID,
        operator="close",
        operator_at=NOW,
        grace=timedelta(days=1),
        final_backup_id=ULID,
        removed_at=NOW,
    )
    new = old.anew(LATER, removed_at=None)
    fresh = tenant("pending", episode=3, version=2, updated_at=LATER, status_since=LATER)
    assert new == fresh


def test_a_database_is_known_by_the_binding_of_its_ulid() -> None:
    """The binding's name comes from the ULID alone."""
    assert database("creating").binding == f"DB_{ULID}"


def test_a_database_being_made_is_looked_after() -> None:
    """The sweep sees everything on its way, and neither the pool nor tenants' databases."""
    assert set(MAKING) <= UNSETTLED_DATABASE
    settled = set(DatabaseStatus) - UNSETTLED_DATABASE
    others = {"ready", "claimed", "deleted", "quarantined", "detached"}
    assert {str(status) for status in settled} == {*others, "importing", "exporting", "unbinding"}


def test_moments_are_written_so_that_text_order_is_time_order() -> None:
    """A moment is UTC of fixed width, whatever zone it was given in and however round it is."""
    east = datetime(2026, 11, 23, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert iso(east) == "2026-11-23T12:00:00.000000Z"
    moments = [NOW + timedelta(microseconds=step) for step in (0, 1, 999_999, 1_000_000)]
    assert sorted(map(iso, moments)) == [iso(moment) for moment in moments]


def test_a_moment_without_a_zone_is_refused() -> None:
    """A naive time would be read as local time somewhere: it never gets in."""
    with pytest.raises(ValidationError, match="without a time zone"):
        tenant("pending", wake_at=datetime(2026, 11, 23))  # noqa: DTZ001 - the point


def test_a_record_survives_the_trip_through_plain_values() -> None:
    """What is dumped for the table is read back equal, with `class` under its own name."""
    before = tenant("closing", grace_ends_at=LATER, episode=2, grace=timedelta(days=3))
    data = before.model_dump(by_alias=True, exclude_none=True)
    assert (data["class"], data["grace_ends_at"]) == ("weur", iso(LATER))
    # DynamoDB gives numbers back as decimals
    assert Tenant.model_validate(data | {"grace": Decimal(data["grace"])}) == before
