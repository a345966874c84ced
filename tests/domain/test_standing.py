"""What a tenant should be: three words weighed, the same in whatever order they came."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.standing import FREE, Entitlement, Right, Target, settle, wanted
from shared.domain.tenant import OperatorWord, Tenant, TenantStatus

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
GRACE = timedelta(days=30)
S, W = TenantStatus, OperatorWord


def at(seconds: int) -> datetime:
    return NOW + timedelta(seconds=seconds)


def tenant(status: TenantStatus = S.ACTIVE, **more: Any) -> Tenant:
    times = {"created_at": NOW, "updated_at": NOW, "status_since": NOW}
    data = {"tenant_id": "org_1", "class_": "weur", "status": status, "database_ulid": "U"}
    return Tenant.model_validate(data | times | more)


def rights(right: Right, said: int = 0, **more: Any) -> Entitlement:
    return Entitlement(right, said_at=at(said), reason=f"billing says {right}", **more)


def target(subject: Tenant, entitlement: Entitlement = FREE, **more: Any) -> Target:
    return wanted(subject, entitlement, require_subscription=more.get("require", False))[0]


def settled(subject: Tenant, entitlement: Entitlement = FREE, **more: Any) -> Tenant:
    return settle(subject, entitlement, now=at(1000), grace=GRACE, **more)


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        (Right.ACTIVE, Target.SERVED),
        (Right.GRACE, Target.SERVED),
        (Right.SUSPENDED, Target.SUSPENDED),
        (Right.ENDED, Target.CLOSED),
    ],
)
def test_billing_decides_when_nobody_else_spoke(right: Right, expected: Target) -> None:
    """Entitled is served, suspended is suspended, ended is closed."""
    assert target(tenant(), rights(right)) is expected


def test_a_tenant_without_a_subscription_is_served_unless_one_is_required() -> None:
    """The free plan is the default; a deployment may ask for a subscription."""
    assert target(tenant()) is Target.SERVED
    assert target(tenant(), require=True) is Target.SUSPENDED


@pytest.mark.parametrize("word", W)
def test_an_operators_word_counts_until_somebody_says_something_newer(word: OperatorWord) -> None:
    """It outranks what billing and the auth provider said before, and nothing they say after."""
    said = {"operator": word, "operator_at": at(50)}
    own = {W.SUSPEND: Target.SUSPENDED, W.RESUME: Target.SERVED, W.CLOSE: Target.CLOSED}[word]
    for right in (Right.ACTIVE, Right.SUSPENDED, Right.ENDED):
        assert target(tenant(**said), rights(right, said=50)) is own
    assert target(tenant(**said), rights(Right.ENDED, said=51)) is Target.CLOSED
    assert target(tenant(**said), rights(Right.ACTIVE, said=51)) is Target.SERVED
    assert target(tenant(**said, removed_at=at(49))) is own
    assert target(tenant(**said, removed_at=at(51))) is Target.CLOSED


def test_a_deletion_is_undone_by_a_subscription_that_began_after_it() -> None:
    """An old subscription that is only heard of again brings nobody back."""
    gone = tenant(removed_at=at(10))
    assert target(gone, rights(Right.ACTIVE, said=99, began_at=at(5))) is Target.CLOSED
    assert target(gone, rights(Right.ACTIVE, said=99)) is Target.CLOSED
    assert target(gone, rights(Right.ACTIVE, said=99, began_at=at(11))) is Target.SERVED
    assert target(gone, rights(Right.SUSPENDED, said=99, began_at=at(11))) is Target.CLOSED


def test_an_operator_undoes_a_deletion_for_good() -> None:
    """The next renewal of an old subscription does not close the tenant again; an end does."""
    back = tenant(removed_at=at(10), operator=W.RESUME, operator_at=at(20))
    assert target(back, rights(Right.ACTIVE, said=99, began_at=at(5))) is Target.SERVED
    assert target(back, rights(Right.ENDED, said=99)) is Target.CLOSED
    again = tenant(removed_at=at(30), operator=W.RESUME, operator_at=at(20))
    assert target(again, rights(Right.ACTIVE, said=99, began_at=at(5))) is Target.CLOSED


@pytest.mark.parametrize("status", sorted(set(S) - {S.CLOSING, S.CLOSED}))
def test_whoever_should_be_closed_closes_with_its_grace(status: TenantStatus) -> None:
    """The grace counts from now, the tenant's own goes before the fleet's."""
    closing = settled(tenant(status), rights(Right.ENDED), closing_id="C")
    assert (closing.status, closing.closing_id) == (S.CLOSING, "C")
    assert closing.grace_ends_at == at(1000) + GRACE
    assert closing.reason == "billing says ended"
    own = settled(tenant(status, grace=timedelta(hours=1)), rights(Right.ENDED))
    assert own.grace_ends_at == at(1000) + timedelta(hours=1)
    assert own.closing_id, "a proof belongs to one closing, so each has a name"


def test_a_closing_goes_on_as_it_began() -> None:
    """Hearing of the end again neither prolongs the grace nor begins another closing."""
    closing = settled(tenant(), rights(Right.ENDED), closing_id="C")
    assert settled(closing, rights(Right.ENDED, said=500), closing_id="D") is closing


@pytest.mark.parametrize("status", [S.SUSPENDED, S.CLOSING])
def test_whoever_is_served_again_comes_back(status: TenantStatus) -> None:
    """With its database it is activated, without one it waits for one."""
    gone = {"closing_id": "C", "grace_ends_at": NOW} if status is S.CLOSING else {}
    back = settled(tenant(status, **gone), rights(Right.ACTIVE))
    assert (back.status, back.returning, back.reason) == (S.ACTIVATING, "resumed", None)
    assert (back.closing_id, back.grace_ends_at) == (None, None)
    bare = settled(tenant(status, database_ulid=None), rights(Right.ACTIVE))
    assert bare.status is S.PENDING


def test_past_the_point_of_no_return_another_database_comes_back() -> None:
    """The old one may be deleted at any moment: the tenant waits for its backup instead."""
    late = tenant(S.CLOSING, past_no_return=True, final_backup_id="B", closing_id="C")
    back = settled(late, rights(Right.ACTIVE))
    assert (back.status, back.database_ulid) == (S.PENDING, None)
    assert (back.final_backup_id, back.past_no_return) == ("B", False)
    assert settled(late, rights(Right.SUSPENDED)) is late


@pytest.mark.parametrize("status", [S.CLOSED, S.FAILED, S.PENDING, S.ACTIVATING, S.ACTIVE])
def test_whoever_is_served_or_gone_stays_as_it_is(status: TenantStatus) -> None:
    """Being entitled opens no tombstone and mends no failure."""
    subject = tenant(status)
    assert settled(subject, rights(Right.ACTIVE)) is subject


WORDS: dict[str, dict[str, Any]] = {
    "deleted": {"removed_at": at(30)},
    "suspend": {"operator": W.SUSPEND, "operator_at": at(20)},
    "resume": {"operator": W.RESUME, "operator_at": at(60)},
    "close": {"operator": W.CLOSE, "operator_at": at(40)},
}
BILLING = [FREE, *(rights(right, said, began_at=at(35)) for right in Right for said in (10, 50))]


@given(st.data())
def test_the_same_words_end_the_same_in_any_order(data: st.DataObject) -> None:
    """However the words arrive, and however often, the tenant is what they say together."""
    chosen = data.draw(st.lists(st.sampled_from(sorted(WORDS)), max_size=2, unique=True))
    said = data.draw(st.lists(st.sampled_from(BILLING), min_size=1, max_size=3))
    final = said[-1]
    ends = set()
    for order in permutations(chosen):
        subject = tenant(data.draw(st.sampled_from([S.ACTIVE, S.SUSPENDED])))
        for word in order:
            for each in said[:-1]:
                subject = settled(subject, each)
            # An operator speaks with the clock: what is said later is newer.
            said_at = WORDS[word].get("operator_at")
            if said_at is None or subject.operator_at is None or said_at > subject.operator_at:
                subject = subject.changed(at(1000), **WORDS[word])
        subject = settled(subject, final)
        assert settled(subject, final) is subject
        ends.add(subject.status if subject.status not in {S.ACTIVE, S.ACTIVATING} else "served")
    assert len(ends) == 1
