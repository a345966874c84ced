"""Auth events: whatever order they come in, and however often, the same facts end the same."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.auth_events import AuthEvent
from shared.domain.signup import Admission, Begin, Ignore, Keep, Move, Terms, decide_signup
from shared.domain.tenant import Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GRACE = timedelta(days=30)
GONE = {TenantStatus.CLOSING, TenantStatus.CLOSED}
VERBS = {"c": "tenant.requested", "u": "tenant.updated", "d": "tenant.removed"}


def event(fact: str, *, name: str | None = None, timed: bool = True, **more: Any) -> AuthEvent:
    """An event by its shorthand: `c4` is a creation that happened four seconds in."""
    data = {
        "provider": "clerk",
        "event_id": fact,
        "type": "organization.created",
        "verb": VERBS[fact[0]],
        "tenant_id": "org_1",
        "occurred_at": NOW + timedelta(seconds=int(fact[1:])) if timed else None,
        "display_name": name,
    }
    return AuthEvent.model_validate(data | more)


def decided(tenant: Tenant | None, happened: AuthEvent, *, at: int = 100) -> Admission:
    now = NOW + timedelta(seconds=at)
    return decide_signup(tenant, happened, class_="weur", terms=Terms(now=now, grace=GRACE))


def applied(tenant: Tenant | None, admission: Admission) -> Tenant | None:
    match admission:
        case Begin(tenant=after) | Move(tenant=after):
            return after
        case Keep() | Ignore():
            return tenant


def told(*facts: str, claimed: bool = False) -> Tenant | None:
    """Tell facts in this order; with `claimed`, each tenant that waits gets a database at once."""
    tenant: Tenant | None = None
    for number, fact in enumerate(facts):
        happened = event(fact, name=None if fact[0] == "d" else f"name {fact[1:]}")
        tenant = applied(tenant, decided(tenant, happened, at=100 + number))
        if claimed and tenant is not None and tenant.status is TenantStatus.PENDING:
            tenant = tenant.moved(TenantStatus.ACTIVATING, NOW, database_ulid="U")
            tenant = tenant.moved(TenantStatus.ACTIVE, NOW)
    return tenant


def here(*facts: str, claimed: bool = False) -> Tenant:
    tenant = told(*facts, claimed=claimed)
    assert tenant is not None
    return tenant


def test_a_signup_begins_a_tenant() -> None:
    """A creation of an id that nobody knows is a pending tenant with what the event said."""
    admission = decided(None, event("c1", name="Acme"))
    assert isinstance(admission, Begin)
    tenant = admission.tenant
    assert (tenant.status, tenant.episode, tenant.version) == (TenantStatus.PENDING, 1, 1)
    assert (tenant.provider, tenant.display_name, tenant.class_) == ("clerk", "Acme", "weur")
    assert tenant.known_at == NOW + timedelta(seconds=1)


def test_an_update_of_a_tenant_nobody_knows_begins_it() -> None:
    """Its creation may have been lost: an update proves that it is there."""
    assert here("u2").status is TenantStatus.PENDING


@pytest.mark.parametrize("fact", ["c1", "u1", "d1"])
def test_events_of_the_test_mode_do_nothing(fact: str) -> None:
    """What happened in the provider's test mode never makes, names or closes a tenant."""
    for tenant in (None, here("c0"), here("c0", "d0")):
        assert isinstance(decided(tenant, event(fact, mode="test")), Ignore)


def test_a_tombstone_stops_the_creation_that_it_overtook() -> None:
    """A deletion that comes first leaves a closed record, and the late creation changes nothing."""
    tombstone = here("d3")
    assert tombstone.status is TenantStatus.CLOSED
    assert tombstone.reason == "deleted at the auth provider before it was created here"
    late = decided(tombstone, event("c1"))
    assert late == Ignore("not newer than the deletion of this tenant")
    assert isinstance(decided(tombstone, event("c3")), Ignore)
    assert isinstance(decided(tombstone, event("c1", timed=False)), Ignore)


def test_a_new_creation_after_a_tombstone_is_a_new_episode() -> None:
    """A creation newer than the deletion begins the tenant afresh, in its second episode."""
    again = here("d3", "c4")
    assert (again.status, again.episode) == (TenantStatus.PENDING, 2)
    assert (again.removed_at, again.reason) == (None, None)
    assert again.display_name == "name 4"


def test_deleted_and_created_again_while_its_data_comes_back() -> None:
    """The restore stays its own through both: it waits for its data in the same life."""
    waits = here("c1").changed(NOW, restore_id="R", returning="restored")
    gone = applied(waits, decided(waits, event("d2")))
    assert gone is not None
    assert (gone.status, gone.restore_id) == (TenantStatus.CLOSING, "R")
    admission = decided(gone, event("c3"))
    assert isinstance(admission, Move)
    back = admission.tenant
    assert (back.status, back.restore_id) == (TenantStatus.PENDING, "R")
    assert (back.episode, back.wants_restore, back.removed_at) == (1, True, None)


def test_a_deletion_starts_the_grace_from_its_receipt() -> None:
    """The tenant closes, keeps its database and its data, until so long after we heard of it."""
    closing = here("c1", "d2", claimed=True)
    assert (closing.status, closing.database_ulid) == (TenantStatus.CLOSING, "U")
    assert closing.removed_at == NOW + timedelta(seconds=2)
    assert closing.grace_ends_at == NOW + timedelta(seconds=101) + GRACE


@pytest.mark.parametrize("status", sorted(set(TenantStatus) - GONE))
def test_a_tenant_can_be_deleted_whatever_it_is(status: TenantStatus) -> None:
    """Waiting, failed, suspended: a deletion closes each."""
    tenant = here("c1").model_copy(update={"status": status})
    assert applied(tenant, decided(tenant, event("d2"))).status is TenantStatus.CLOSING  # type: ignore[union-attr] # it is there


def test_a_deletion_without_a_time_counts_from_its_receipt() -> None:
    """It closes, for nothing says that it is old; what is surely newer brings the tenant back."""
    tenant = applied(here("c1"), decided(here("c1"), event("d0", timed=False)))
    assert tenant is not None
    assert (tenant.status, tenant.removed_at) == (
        TenantStatus.CLOSING,
        NOW + timedelta(seconds=100),
    )
    assert isinstance(decided(tenant, event("d0", timed=False)), Keep)
    assert isinstance(decided(tenant, event("c99")), Ignore)
    assert isinstance(decided(tenant, event("c101")), Begin)


def test_a_new_signup_in_the_grace_resumes_with_the_same_database() -> None:
    """Within the grace the data is still there: the tenant goes on with it, under its new name."""
    resumed = here("c1", "d2", "c3", claimed=True)
    assert (resumed.status, resumed.episode) == (TenantStatus.ACTIVATING, 1)
    assert (resumed.database_ulid, resumed.display_name) == ("U", "name 3")
    assert (resumed.removed_at, resumed.grace_ends_at, resumed.reason) == (None, None, None)


def test_a_closed_tenant_that_signs_up_anew_sees_nothing_of_before() -> None:
    """The second life has another episode, no database, no route and no schema of the first."""
    closed = here("c1", "d2", claimed=True).moved(
        TenantStatus.CLOSED, NOW, schema_version="0002", shard="s", binding="b", routed_status="x"
    )
    admission = decided(closed, event("c3", name="Anew", provider="workos"))
    assert isinstance(admission, Begin)
    again = admission.tenant
    assert (again.status, again.episode) == (TenantStatus.PENDING, 2)
    assert (again.provider, again.display_name) == ("workos", "Anew")
    leftovers = (
        again.database_ulid,
        again.database_id,
        again.database_name,
        again.binding,
        again.shard,
        again.schema_version,
        again.routed_status,
    )
    assert leftovers == (None, None, None, None, None, "", None)


@pytest.mark.parametrize("facts", [("c1", "d2"), ("d2",)])
def test_an_update_brings_no_tenant_back(facts: tuple[str, ...]) -> None:
    """However new it is, only a signup opens a tenant that was deleted."""
    admission = decided(here(*facts), event("u9"))
    assert admission == Ignore("an update does not bring back a tenant that was deleted")


def test_a_deletion_of_an_earlier_life_is_out_of_date() -> None:
    """A late deletion that is older than what says that the tenant is there is ignored."""
    for alive in (here("c1", "c4"), here("d3", "c4"), here("c1", "u4"), here("c4")):
        admission = decided(alive, event("d3"))
        assert admission == Ignore("the tenant was created after this deletion")


def test_a_rename_lets_the_work_under_way_go_on() -> None:
    """A new name is stored at once and neither wakes nor restarts the chain of messages."""
    waiting = here("c1").model_copy(
        update={"attempts": 2, "failures": 3, "token": "t", "wake_at": NOW}
    )
    admission = decided(waiting, event("u2", name="New"))
    assert isinstance(admission, Move)
    after = admission.tenant
    assert (admission.what, after.display_name, after.version) == ("renamed", "New", 2)
    assert (after.attempts, after.failures, after.token, after.wake_at) == (2, 3, "t", NOW)


@pytest.mark.parametrize("name", [None, "name 2", "older"])
def test_an_event_that_is_not_newer_renames_nobody(name: str | None) -> None:
    """Of two names the newer stays, whichever came last."""
    assert isinstance(decided(here("u2"), event("u2", name=name)), Keep)
    assert isinstance(decided(here("u2"), event("c1", name=name)), Keep)
    assert isinstance(decided(here("u2"), event("u9", name=name, timed=False)), Keep)


def test_names_of_a_provider_without_times_follow_the_deliveries() -> None:
    """When nothing can be ordered the last delivery counts, and a repeat changes nothing."""
    first = applied(None, decided(None, event("c0", name="A", timed=False)))
    renamed = decided(first, event("u0", name="B", timed=False))
    assert isinstance(renamed, Move)
    assert renamed.tenant.display_name == "B"
    assert isinstance(decided(renamed.tenant, event("u0", name="B", timed=False)), Keep)


STORIES = [
    ("c1", "d2"),
    ("c1", "u2", "u3"),
    ("c1", "u2", "d3"),
    ("c1", "d2", "c3"),
    ("c1", "d2", "c3", "d4"),
    ("c1", "d2", "c3", "d4", "c5"),
    ("c1", "u2", "d3", "c4"),
]


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("story", STORIES, ids="".join)
def test_every_order_of_a_story_ends_as_its_last_fact_says(
    story: tuple[str, ...], claimed: bool
) -> None:
    """The facts in any order: gone if the last is a deletion, else there under the newest name."""
    for order in permutations(story):
        end = here(*order, claimed=claimed)
        gone = story[-1].startswith("d")
        assert (end.status in GONE) is gone, order
        if not gone:
            assert end.display_name == f"name {story[-1][1:]}", order


@given(st.data())
def test_duplicates_change_nothing_more(data: st.DataObject) -> None:
    """Facts told again, any number of times and in any order, leave the same tenant."""
    story = data.draw(st.sampled_from(STORIES))
    told_once = data.draw(st.permutations(story))
    repeats = data.draw(st.lists(st.sampled_from(story), max_size=8))
    again = data.draw(st.permutations([*told_once, *repeats]))
    claimed = data.draw(st.booleans())
    end = here(*again, claimed=claimed)
    assert (end.status in GONE) is story[-1].startswith("d")
    settled = [decided(end, event(fact, name=f"name {fact[1:]}")) for fact in story]
    assert all(isinstance(admission, Keep | Ignore) for admission in settled)


@given(
    st.lists(
        st.tuples(st.sampled_from("cud"), st.integers(0, 6), st.booleans(), st.booleans()),
        max_size=12,
    )
)
def test_any_events_at_all_leave_a_tenant_that_makes_sense(
    facts: list[tuple[str, int, bool, bool]],
) -> None:
    """Nothing crashes, episodes and versions only grow, who is gone knows since when."""
    tenant: Tenant | None = None
    for verb, second, timed, named in facts:
        happened = event(f"{verb}{second}", timed=timed, name="x" if named else None)
        after = applied(tenant, decided(tenant, happened))
        if tenant is not None:
            assert after is not None
            assert after.episode >= tenant.episode
            assert after == tenant or after.version > tenant.version
        tenant = after
        if tenant is not None:
            assert (tenant.removed_at is not None) is (tenant.status in GONE)
            assert tenant.database_ulid is None or tenant.status is not TenantStatus.PENDING
