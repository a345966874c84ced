"""What Stripe's events mean, whole and thin."""

from datetime import datetime
from typing import Any

import pytest

from shared.domain.links import Hint
from shared.webhooks.parsing import Ignored, Malformed
from tests.webhooks.billing_bodies import AT, WHEN, event, parse, standing, stripe, word


@pytest.mark.parametrize(
    ("status", "expected", "final"),
    [
        ("trialing", "active", False),
        ("active", "active", False),
        ("past_due", "past_due", False),
        ("unpaid", "suspended", False),
        ("paused", "suspended", False),
        ("incomplete", "pending", False),
        ("incomplete_expired", "pending", True),
        ("canceled", "ended", True),
    ],
)
def test_stripes_statuses(status: str, expected: str, final: bool) -> None:
    """Each of Stripe's statuses is one of our standings; two can't be left again."""
    said = word("stripe", stripe(status=status))
    assert said.fact is not None
    assert (standing(said), said.fact.final, said.fact.at) == (expected, final, WHEN)
    assert (said.subscription_id, said.customer_id) == ("sub_1", "cus_1")


@pytest.mark.parametrize(
    ("object_", "ends_at"),
    [
        ({"cancel_at": AT}, WHEN),
        ({"cancel_at_period_end": True, "items": {"data": [{"current_period_end": AT}]}}, WHEN),
        ({"cancel_at_period_end": True, "current_period_end": AT}, WHEN),
        ({"cancel_at_period_end": False, "items": {"data": [{"current_period_end": AT}]}}, None),
        ({"cancel_at_period_end": True}, None),
        ({"status": "canceled", "cancel_at": AT}, None),
    ],
)
def test_stripes_scheduled_ends(object_: dict[str, Any], ends_at: datetime | None) -> None:
    """Both ways of scheduling a cancellation are seen, wherever the period stands."""
    said = word("stripe", stripe(**object_))
    assert said.fact is not None
    assert said.fact.ends_at == ends_at


def test_stripes_pause_of_collection_is_no_pause() -> None:
    """Whoever is merely not billed for a while is served."""
    assert standing(word("stripe", stripe(pause_collection={"behavior": "void"}))) == "active"


SESSION = {"id": "cs_1", "customer": "cus_1", "subscription": "sub_1", "status": None}


@pytest.mark.parametrize(
    ("object_", "tenant_id"),
    [
        ({"metadata": {"tenant_id": "a"}, "client_reference_id": "b"}, "a"),
        ({"metadata": {}, "client_reference_id": "b"}, "b"),
        ({"client_reference_id": "b", "payment_link": "plink_1"}, None),
        (
            {"metadata": {"tenant_id": "a"}, "client_reference_id": "b", "payment_link": "plink_1"},
            "a",
        ),
        ({}, None),
    ],
)
def test_what_a_checkout_of_stripes_links(object_: dict[str, Any], tenant_id: str | None) -> None:
    """Metadata first, then the reference, but never one that stood in a payment link's address."""
    said = word("stripe", stripe("checkout.session.completed", **SESSION | object_))
    assert said.hint == (tenant_id and Hint(tenant_id=tenant_id, vouched=True))
    assert (said.fact, said.subscription_id, said.customer_id) == (None, "sub_1", "cus_1")


@pytest.mark.parametrize(
    "invoice",
    [
        {"parent": {"subscription_details": {"subscription": "sub_1", "metadata": {}}}},
        {"parent": {"subscription_details": {"subscription": {"id": "sub_1"}}}},
        {"subscription": "sub_1", "subscription_details": {"metadata": {"other": "x"}}},
    ],
)
def test_an_invoice_of_stripes_only_names_its_subscription(invoice: dict[str, Any]) -> None:
    """A payment that failed or came says nothing about standing: the subscription will."""
    said = word("stripe", stripe("invoice.payment_failed", id="in_1", **invoice))
    assert (said.subscription_id, said.fact, said.hint) == ("sub_1", None, None)


def test_a_customer_that_is_deleted_at_stripe() -> None:
    """It is told when, for all of its subscriptions; a changed one may name its tenant."""
    gone = word("stripe", stripe("customer.deleted", id="cus_1"))
    assert (gone.customer_id, gone.gone_at, gone.subscription_id) == ("cus_1", WHEN, None)
    named = word("stripe", stripe("customer.updated", id="cus_1", metadata={"tenant_id": "a"}))
    assert (named.hint, named.gone_at) == (Hint(tenant_id="a", vouched=True), None)
    assert isinstance(parse("stripe", stripe("customer.created", id="cus_1")), Ignored)


def thin(what: str, **more: Any) -> dict[str, Any]:
    body = {
        "id": "evt_1",
        "object": "v2.core.event",
        "type": what,
        "livemode": True,
        "created": "2026-09-21T14:13:20.000Z",
        "related_object": {"id": "sub_1", "type": "subscription", "url": "/v1/…"},
    }
    return body | more


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("past_due", "past_due"),
        ("unpaid", "suspended"),
        ("active", "active"),
        ("trialing", "active"),
        ("resumed", "active"),
        ("paused", "suspended"),
        ("incomplete", "pending"),
        ("deleted", "ended"),
        ("canceled", "ended"),
        ("created", None),
        ("updated", None),
        ("cancel_at_changed", None),
    ],
)
def test_stripes_thin_events(what: str, expected: str | None) -> None:
    """The finer types tell the standing by their name; the others need the object."""
    parsed = event("stripe", thin(f"v1.customer.subscription.{what}"))
    (said,) = parsed.words
    assert (standing(said), parsed.refetch, parsed.mode) == (expected, expected is None, "live")
    assert (said.subscription_id, said.customer_id) == ("sub_1", None)


def test_thin_events_of_other_things_are_none_of_our_business() -> None:
    """Types that are no subscription's are ignored, but that of a customer who is deleted."""
    for what in ("v1.invoice.paid", "deleted", "v1.customer.subscription.boiled"):
        assert isinstance(parse("stripe", thin(what)), Ignored)
    gone = word("stripe", thin("v1.customer.deleted", related_object={"id": "cus_1"}))
    assert (gone.customer_id, gone.gone_at) == ("cus_1", WHEN)


def test_an_event_and_its_object_must_agree_on_the_mode() -> None:
    """A body that says both live and test is kept aside, unless its mode is not ours anyway."""
    body = stripe(livemode=True)
    assert isinstance(parse("stripe", body, mode="test"), Malformed)
    assert event("stripe", body, mode="live").mode == "test"
    assert isinstance(parse("stripe", body | {"livemode": None}), Malformed)
