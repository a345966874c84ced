"""What subscriptions entitle to, and whose they are."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.entitlement import Policy, entitlement
from shared.domain.links import Hint, Link, find_link
from shared.domain.standing import FREE, Entitlement, Right
from shared.domain.subscription import Fact, Standing, Subscription

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def subscription(standing: str, *, days_ago: int = 1, **more: Any) -> Subscription:
    fact = Fact(
        standing=Standing(standing),
        at=NOW - days_ago * DAY,
        final=standing == "ended",
        ends_at=more.pop("ends_at", None),
        began_at=NOW - days_ago * DAY,
        said=standing,
    )
    data = {"provider": "stripe", "mode": "live", "subscription_id": standing, "vouched": True}
    made = Subscription.model_validate(data | {"first_seen_at": NOW} | more)
    return made.heard(fact, episode=made.episode)


def entitled(*subscriptions: Subscription, episode: int = 1, **policy: Any) -> Entitlement:
    return entitlement(subscriptions, policy=Policy(**policy), episode=episode, now=NOW)


def test_nothing_heard_is_the_free_plan() -> None:
    """No subscription, or one that waits for its first payment, is as if there were none."""
    assert entitled() == FREE
    assert entitled(subscription("pending")) == FREE
    bare = Subscription(provider="polar", mode="live", subscription_id="s", first_seen_at=NOW)
    assert entitled(bare) == FREE


BEST = ["active", "past_due", "suspended", "ended"]
RIGHTS = [Right.ACTIVE, Right.GRACE, Right.SUSPENDED, Right.ENDED]


@pytest.mark.parametrize("place", range(4))
def test_a_tenant_is_entitled_while_any_subscription_is(place: int) -> None:
    """The best of all subscriptions counts, whatever the others are."""
    those = [subscription(standing) for standing in BEST[place:]]
    assert entitled(*those).right is RIGHTS[place]
    assert entitled(*reversed(those)) == entitled(*those)


def test_a_late_payment_is_served_for_the_grace_and_no_longer() -> None:
    """From the first word of it on, up to and without the last moment of the grace."""
    served = entitled(subscription("past_due", days_ago=13))
    assert (served.right, served.changes_at) == (Right.GRACE, NOW + DAY)
    assert served.reason == "past due since 2026-11-10"
    assert entitled(subscription("past_due", days_ago=14)).right is Right.SUSPENDED
    at_once = entitled(subscription("past_due", days_ago=1), past_due="suspend")
    assert (at_once.right, at_once.changes_at) == (Right.SUSPENDED, None)


def test_what_ended_in_an_earlier_life_does_not_count() -> None:
    """An id that comes back starts free; what still runs goes on to count."""
    assert entitled(subscription("ended"), episode=2) == FREE
    assert entitled(subscription("ended", episode=2), episode=2).right is Right.ENDED
    assert entitled(subscription("active"), episode=2).right is Right.ACTIVE


@pytest.mark.parametrize(
    ("standing", "right"),
    [("active", Right.ACTIVE), ("past_due", Right.GRACE)]
    + [(standing, Right.FREE) for standing in ("suspended", "ended", "pending")],
)
def test_what_a_payer_may_have_linked_gives_and_never_takes(standing: str, right: Right) -> None:
    """A stranger who pays for a tenant and cancels leaves it as it was before."""
    assert entitled(subscription(standing, vouched=False)).right is right


def test_the_end_of_what_entitles_is_shown_only_if_all_of_it_ends() -> None:
    """With one subscription that goes on there is no end; with none, the last one is it."""
    ending = subscription("active", ends_at=NOW + 3 * DAY)
    assert entitled(ending).ends_at == NOW + 3 * DAY
    other = subscription("active", ends_at=NOW + 5 * DAY, subscription_id="b")
    assert entitled(ending, other).ends_at == NOW + 5 * DAY
    endless = subscription("active", subscription_id="c")
    assert entitled(ending, other, endless).ends_at is None


def test_the_newest_word_and_the_newest_beginning_are_told() -> None:
    """Whoever weighs billing against other words learns when it spoke and what it rests on."""
    found = entitled(subscription("active", days_ago=9), subscription("suspended", days_ago=2))
    assert (found.said_at, found.began_at) == (NOW - 2 * DAY, NOW - 9 * DAY)
    assert entitled(subscription("suspended")).began_at is None


NOBODY = Link()


def hint(tenant_id: str, *, vouched: bool = True) -> Hint:
    return Hint(tenant_id=tenant_id, vouched=vouched)


def test_links_are_found_in_their_order() -> None:
    """What is stored, then what the event names, then the customer's, then nobody."""
    stored, customer = Link("a", vouched=True), Link("c", vouched=True)
    named = hint("b")
    assert find_link(stored=stored, hint=named, customer=customer, rivals=False).tenant_id == "a"
    assert find_link(stored=NOBODY, hint=named, customer=customer, rivals=True) == Link("b", True)
    assert find_link(stored=NOBODY, hint=None, customer=customer, rivals=False) == customer
    assert find_link(stored=NOBODY, hint=None, customer=NOBODY, rivals=False) == NOBODY


def test_a_link_is_never_changed_silently() -> None:
    """An event that names another tenant than the linked one changes nothing, and is told."""
    found = find_link(stored=Link("a", True), hint=hint("b"), customer=NOBODY, rivals=False)
    assert (found.tenant_id, found.vouched) == ("a", True)
    assert found.conflict == "is linked to a, and an event names b"


def test_a_payer_can_not_take_over_a_tenant_that_somebody_else_pays_for() -> None:
    """A name that a payer may have written opens no tenant with another customer."""
    mine = hint("a", vouched=False)
    taken = find_link(stored=NOBODY, hint=mine, customer=NOBODY, rivals=True)
    assert taken.tenant_id is None
    assert taken.conflict
    first = find_link(stored=NOBODY, hint=mine, customer=NOBODY, rivals=False)
    assert first == Link("a", vouched=False)
    other = find_link(stored=NOBODY, hint=mine, customer=Link("b", True), rivals=False)
    assert (other.tenant_id, bool(other.conflict)) == ("b", True)


@given(st.booleans(), st.booleans())
def test_a_server_vouches_for_a_link_that_a_payer_made(stored: bool, rivals: bool) -> None:
    """The same tenant named by the SaaS's own server makes the link count in full."""
    found = find_link(
        stored=Link("a", vouched=stored), hint=hint("a"), customer=NOBODY, rivals=rivals
    )
    assert found == Link("a", vouched=True)
