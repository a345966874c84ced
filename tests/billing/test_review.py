"""What billing leaves to time, and to the sweep."""

from collections.abc import Callable
from datetime import timedelta

from shared.usecases.review_billing import ReviewBilling, list_parked
from tests.billing.bodies import standard, stripe
from tests.billing.desk import Desk


def test_a_grace_that_runs_out_suspends(desk: Desk) -> None:
    """Fourteen days after the first late payment, and not a review earlier; once only."""
    desk.begin("acme")
    desk.begin("other")
    desk.hear("stripe", stripe("past_due", 0))
    desk.hear("standard", standard("past_due", 0, tenant="other"))
    desk.hear("standard", standard("active", 5, tenant="other"))
    review = ReviewBilling(desk.control)
    desk.pass_(days=13)
    assert (review("t").reviewed, desk.status("acme")) == (0, "served")
    desk.pass_(days=1)
    assert (review("t").reviewed, desk.status("acme")) == (1, "suspended")
    assert desk.tenant("acme").reason == "past due since 2026-09-21"
    assert desk.messages("tenant")[-1] == "acme"
    assert (review("t").reviewed, desk.status("other")) == (0, "served")
    assert desk.hear("stripe", stripe("active", 15 * 86400)).tenant_status == "activating"


def test_a_late_payment_suspends_at_once_where_the_deployment_says_so(
    make_desk: Callable[..., Desk],
) -> None:
    """`PAST_DUE=suspend` knows no grace; a grace of nothing is the same."""
    for settings in ({"past_due": "suspend"}, {"past_due_grace": timedelta(0)}):
        desk = make_desk(**settings)
        desk.begin("acme")
        desk.hear("stripe", stripe("past_due", 0))
        assert desk.status("acme") == "suspended"


def test_what_waits_for_a_day_is_told_once(desk: Desk) -> None:
    """A subscription of nobody is listed at once and alerted after 24 hours."""
    desk.hear("stripe", stripe("active", tenant=None))
    desk.hear("stripe", stripe("active", sub="sub_2", tenant="later"))
    review = ReviewBilling(desk.control)
    assert [one.subscription_id for one in list_parked(desk.control)] == ["sub_1", "sub_2"]
    assert review("t").alerted == 0
    desk.pass_(hours=24)
    assert (review("t").alerted, review("t").alerted) == (2, 0)
    assert desk.alerts() == ["billing_parked", "billing_parked"]
    assert len(list_parked(desk.control)) == 2


def test_a_tenant_that_began_by_another_way_gets_what_waited_for_it(desk: Desk) -> None:
    """Whoever lets a tenant begin without looking is mended by the next review."""
    desk.hear("stripe", stripe("suspended"))
    desk.begin("acme")
    assert (ReviewBilling(desk.control)("t").adopted, desk.status("acme")) == (1, "suspended")
    assert list_parked(desk.control) == []


def test_more_than_one_transaction_moves_all_that_waited(desk: Desk) -> None:
    """A customer with dozens of subscriptions gets them all linked, some by the sweep."""
    desk.begin("acme")
    for number in range(25):
        body = stripe("suspended", number, sub=f"sub_{number}", tenant=None)
        desk.hear("stripe", body)
    desk.hear("stripe", stripe("active", 99, sub="sub_x"))
    assert len(list_parked(desk.control)) == 5
    ReviewBilling(desk.control)("t")
    assert list_parked(desk.control) == []
    assert len(desk.control.subscriptions.book("acme").subscriptions) == 26
