"""Random histories of all providers: however they are told, they end the same."""

import hashlib
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.usecases.review_billing import ReviewBilling
from tests.billing.bodies import customer_deleted, paddle, polar, standard, stripe, transaction
from tests.billing.desk import Desk

STANDINGS = ["active", "past_due", "suspended", "ended"]
Heard = tuple[str, dict[str, Any]]
SLOW = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking on a table takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def words(draw: st.DrawFn) -> tuple[str, str, int, int]:
    """A word by its provider, standing, time and the number of its subscription."""
    return (
        draw(st.sampled_from(["stripe", "paddle", "polar", "standard", "gone", "test"])),
        draw(st.sampled_from(STANDINGS)),
        draw(st.integers(0, 4)),
        draw(st.integers(1, 2)),
    )


def heard(word: tuple[str, str, int, int], tenant: str) -> Heard:
    provider, standing, at, number = word
    sub, customer = f"{tenant}_s{number}", f"{tenant}_c"
    match provider:
        case "stripe":
            named = tenant if number == 1 else None  # the other one is found by its customer
            return provider, stripe(standing, at, sub=sub, customer=customer, tenant=named)
        case "paddle":
            return provider, paddle(standing, at, sub=sub, customer=customer, tenant=tenant)
        case "polar":
            body = polar(standing, at, sub=sub, tenant=tenant)
            body["data"]["customer_id"] = customer
            return provider, body
        case "standard":
            return provider, standard(standing, at, sub=sub, tenant=tenant)
        case "gone":
            return "stripe", customer_deleted(at, customer)
        case _:
            body = stripe(standing, at, sub=sub, customer=customer, tenant=tenant, live=False)
            return "stripe", body


def told(
    make_desk: Callable[..., Desk], history: list[tuple[str, str, int, int]], *, signs_up: int
) -> Any:
    """Tell a history to a tenant of its own, who signs up after so many words."""
    # moto copies the whole table for each transaction: a small one is a quick one
    desk, tenant = make_desk(), "acme"
    vouched = ("paddle", transaction(f"{tenant}_s1", f"{tenant}_c", tenant))
    linked = (
        "stripe",
        stripe("pending", -9, sub=f"{tenant}_s0", customer=f"{tenant}_c", tenant=tenant),
    )
    bodies = [vouched, linked, *(heard(word, tenant) for word in history)]
    rotated = bodies[signs_up:] + bodies[:signs_up]
    for number, (provider, body) in enumerate(rotated):
        if number == signs_up:
            desk.begin(tenant)
        desk.hear(provider, body, hashlib.sha256(str(body).encode()).hexdigest())
    if signs_up >= len(rotated):
        desk.begin(tenant)
    ReviewBilling(desk.control)("t")
    found = desk.entitlement(tenant)
    return found.right, found.said_at, found.ends_at, found.changes_at, desk.status(tenant)


@SLOW
@given(history=st.lists(words(), min_size=1, max_size=5), data=st.data())
def test_the_order_and_the_number_of_events_do_not_matter(
    make_desk: Callable[..., Desk], history: list[tuple[str, str, int, int]], data: st.DataObject
) -> None:
    """Permuted, repeated, heard before or after the signup: the same tenant comes out."""
    straight = told(make_desk, history, signs_up=0)
    again = data.draw(st.lists(st.sampled_from(history), max_size=2))
    mixed = data.draw(st.permutations([*history, *again]))
    assert told(make_desk, mixed, signs_up=data.draw(st.integers(0, len(mixed) + 2))) == straight


@SLOW
@given(history=st.lists(words(), max_size=4), place=st.integers(0, 4))
def test_an_end_is_an_end_and_the_test_mode_is_nothing(
    make_desk: Callable[..., Desk], history: list[tuple[str, str, int, int]], place: int
) -> None:
    """A subscription that ended entitles nobody again; test events are as if never sent."""
    ends = [("stripe", "ended", 2, 1), ("paddle", "ended", 1, 1)]
    others = [word for word in history if word[0] in {"stripe", "paddle", "test"} and word[3] == 1]
    mixed = [*others[:place], *ends, *others[place:]]
    right, *_, status = told(make_desk, mixed, signs_up=0)
    assert (right, status) == ("ended", "closing")
    live = [word for word in mixed if word[0] != "test"]
    assert told(make_desk, live, signs_up=0)[0] == right
