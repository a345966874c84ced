"""What becomes of a billing event, and of its tenant."""

from collections.abc import Callable
from typing import Any

import pytest

from shared.aws.items import Change, change_writes
from shared.domain.standing import Right
from shared.domain.tenant import TenantStatus
from shared.errors import Conflict, Transient
from tests.billing import bodies
from tests.billing.bodies import checkout, moment, paddle, polar, standard, stripe, transaction
from tests.billing.desk import Desk
from tests.support.events import signup


def test_a_subscription_that_ends_closes_and_a_new_one_brings_back(desk: Desk) -> None:
    """The tenant keeps its database through the grace, and goes on with it."""
    desk.begin("acme")
    assert desk.hear("stripe", stripe("active", 0)).tenant_status == "active"
    assert desk.hear("stripe", stripe("ended", 5)).tenant_status == "closing"
    closing = desk.tenant("acme")
    assert closing.grace_ends_at == desk.moment[0] + desk.control.settings.grace_period
    assert closing.database_ulid == "U"
    assert desk.hear("stripe", stripe("active", 9)).tenant_status == "closing"
    answer = desk.hear("stripe", stripe("active", 9, sub="sub_2"))
    assert (answer.status, answer.tenant_status) == ("accepted", "activating")
    assert desk.tenant("acme").database_ulid == "U"
    assert desk.messages("tenant")[-1] == "acme"


def test_a_payment_that_fails_and_is_mended(desk: Desk) -> None:
    """Late is served, unpaid is suspended, paid is served again."""
    desk.begin("acme")
    heard = [
        desk.hear("stripe", stripe(standing, at)).tenant_status
        for at, standing in enumerate(["active", "past_due", "suspended", "active"])
    ]
    assert heard == ["active", "active", "suspended", "activating"]


def test_the_same_event_again_is_a_duplicate(desk: Desk) -> None:
    """Nothing is done twice, but the worker is woken again; another body is told to a person."""
    desk.begin("acme")
    desk.hear("stripe", stripe("suspended"))
    before, sent = desk.items(), len(desk.messages("tenant"))
    again = desk.hear("stripe", stripe("suspended"))
    assert (again.status, again.tenant_status) == ("duplicate", "suspended")
    assert desk.items() == before
    assert len(desk.messages("tenant")) == sent + 1
    desk.hear("stripe", stripe("suspended", cancel_at=1_790_000_000))
    assert desk.alerts() == ["webhook_body_changed"]


def test_an_event_that_changes_nothing_disturbs_nobody(desk: Desk) -> None:
    """A fact that is known already leaves tenant and book as they are."""
    desk.begin("acme")
    desk.hear("stripe", stripe("suspended", 5))
    before = desk.tenant("acme")
    assert desk.hear("stripe", stripe("active", 1)).status == "accepted"
    assert desk.tenant("acme") == before


@pytest.mark.parametrize(("live", "mode"), [(False, "live"), (True, "test")])
def test_the_other_mode_never_touches_a_tenant(
    make_desk: Callable[..., Desk], live: bool, mode: str
) -> None:
    """An event of the mode that is not this deployment's leaves no trace, and says why."""
    desk = make_desk(billing_mode=mode)
    desk.begin("acme")
    before = desk.items()
    answer = desk.hear("stripe", stripe("ended", live=live))
    assert (answer.status, desk.items()) == ("ignored", before)
    assert answer.reason is not None


def test_a_status_that_nobody_knows_changes_nothing_and_alerts(desk: Desk) -> None:
    """The tenant stays what it is, the link is kept, a person looks."""
    desk.begin("acme")
    desk.hear("stripe", stripe("active"))
    answer = desk.hear("stripe", stripe("frozen", 5))
    assert (answer.status, answer.tenant_status) == ("ignored", "active")
    assert (desk.status("acme"), desk.alerts()) == ("served", ["billing_status_unknown"])


def test_what_is_heard_before_the_signup_waits_for_it(desk: Desk) -> None:
    """A subscription of a tenant that is not there is parked, then counts from the first moment."""
    answer = desk.hear("stripe", stripe("suspended", 1))
    assert (answer.status, answer.tenant_status) == ("parked", None)
    assert [one.subscription_id for one in desk.control.subscriptions.parked()] == ["sub_1"]
    desk.signup().signup(signup("acme"), body_sha256="a", trace="t")
    assert list(desk.control.subscriptions.parked()) == []
    assert desk.entitlement("acme").right is Right.SUSPENDED


def test_a_signup_whose_subscription_has_ended_is_not_served(desk: Desk) -> None:
    """It closes at once: no database is given to it."""
    desk.hear("standard", standard("ended", 1))
    answer = desk.signup().signup(signup("acme"), body_sha256="a", trace="t")
    assert answer.tenant_status == "closing"
    assert desk.tenant("acme").database_ulid is None
    assert desk.hear("standard", standard("active", 2)).tenant_status == "pending"


def between(desk: Desk, read: str, what: str, *bodies: dict[str, Any]) -> None:
    """Let events of Stripe's come right after the first `read` (get or query) of a partition."""
    real, left = getattr(desk.table, read), list(bodies)

    def interrupted(pk: str, *args: Any, **kwargs: Any) -> Any:
        found = real(pk, *args, **kwargs)
        found = found if read == "get" else list(found)
        if pk == what and left:
            desk.hear("stripe", left.pop(0))
        return found if read == "get" else iter(found)

    setattr(desk.table, read, interrupted)


def test_a_word_that_comes_while_a_tenant_signs_up_is_not_missed(desk: Desk) -> None:
    """The signup's transaction fails on the book that it read too early, and looks again."""
    between(desk, "query", "TENANT#acme", standing := stripe("ended", 1))
    answer = desk.signup().signup(signup("acme"), body_sha256="a", trace="t")
    assert answer.tenant_status == "closing"
    assert desk.hear("stripe", standing).status == "duplicate"
    assert list(desk.control.subscriptions.parked()) == []


def test_a_signup_that_comes_while_a_word_is_entered_is_not_missed(desk: Desk) -> None:
    """The word's transaction fails as well, so that the tenant hears of it."""
    real, left = desk.table.query, ["acme"]

    def interrupted(pk: str, *args: Any, **kwargs: Any) -> Any:
        found = list(real(pk, *args, **kwargs))
        if pk == "TENANT#acme" and left:
            desk.signup().signup(signup(left.pop()), body_sha256="a", trace="t")
        return iter(found)

    desk.table.query = interrupted  # type: ignore[method-assign] # the moment between two reads
    assert desk.hear("stripe", stripe("ended", 1)).tenant_status == "closing"


def test_a_word_that_changes_no_status_still_stops_who_decided_before_it(desk: Desk) -> None:
    """Whoever read the tenant's rights before a word can't write the tenant after it."""
    before = desk.begin("acme", "pending", database_ulid=None)
    desk.hear("stripe", stripe("active", 1))
    claimed = before.moved(TenantStatus.ACTIVATING, desk.moment[0], database_ulid="U")
    with pytest.raises(Conflict, match="tenant is as it was read"):
        desk.control.state.commit(Change(before, claimed))


def test_two_words_at_once_both_count(desk: Desk) -> None:
    """Two subscriptions that end at the same moment leave nobody served on the other's account."""
    desk.begin("acme")
    desk.hear("stripe", stripe("active", 0))
    desk.hear("stripe", stripe("active", 0, sub="sub_2"))
    between(desk, "query", "TENANT#acme", stripe("ended", 5, sub="sub_2"))
    desk.hear("stripe", stripe("ended", 5))
    assert desk.status("acme") == "closing"


def test_a_link_that_is_made_while_a_subscription_is_parked_finds_it(desk: Desk) -> None:
    """It is not left with a customer whose tenant became known at that very moment."""
    desk.begin("acme")
    desk.hear("stripe", stripe("suspended", 0, sub="sub_0", tenant=None))
    between(desk, "get", "CUSTOMER#stripe#live#cus_1", checkout(None))
    answer = desk.hear("stripe", stripe("suspended", 1, tenant=None))
    assert (answer.status, answer.tenant_status) == ("accepted", "suspended")


def test_customers_of_two_providers_are_two_even_with_one_id(desk: Desk) -> None:
    """Stripe's deletion of a customer ends no subscription of Paddle's."""
    desk.begin("acme")
    desk.hear("paddle", paddle("active", 1, customer="cus_1"))
    desk.hear("stripe", stripe("active", 1))
    desk.hear("stripe", bodies.customer_deleted(5))
    assert desk.entitlement("acme").right is Right.ACTIVE


def test_a_customer_links_what_waited_for_it(desk: Desk) -> None:
    """Subscriptions of a customer whom nobody knew move to the tenant that a checkout names."""
    desk.begin("acme")
    for number in (1, 2):
        answer = desk.hear("stripe", stripe("suspended", 1, sub=f"sub_{number}", tenant=None))
        assert answer.status == "parked"
    assert desk.status("acme") == "served"
    assert desk.hear("stripe", checkout(None)).tenant_status == "suspended"
    assert list(desk.control.subscriptions.parked()) == []
    assert not [key for key in desk.items() if key[0].startswith("CUSTOMER#") and key[1] != "META"]
    assert desk.hear("stripe", stripe("active", 2, sub="sub_2", tenant=None)).status == "accepted"
    assert desk.status("acme") == "served"


def test_a_link_is_kept_and_a_contradiction_told(desk: Desk) -> None:
    """A subscription never changes hands because an event says so."""
    desk.begin("acme")
    desk.begin("other")
    desk.hear("stripe", stripe("active", 0))
    answer = desk.hear("stripe", stripe("suspended", 1, tenant="other"))
    assert (answer.tenant_status, desk.status("other")) == ("suspended", "served")
    assert desk.status("acme") == "suspended"
    assert desk.alerts() == ["billing_link_refused"]


def test_a_payer_can_neither_take_over_nor_close_a_tenant(desk: Desk) -> None:
    """What a browser wrote opens no tenant that somebody pays for, and takes nothing from one."""
    for tenant in ("free", "paid"):
        desk.begin(tenant)
    desk.hear("paddle", transaction(tenant="paid"))
    desk.hear("paddle", paddle("active", tenant="paid"))
    stranger = {"sub": "sub_x", "customer": "ctm_x"}
    assert desk.hear("paddle", paddle("active", 1, tenant="paid", **stranger)).status == "parked"
    assert desk.alerts() == ["billing_link_refused"]
    other = {"sub": "sub_y", "customer": "ctm_y"}
    assert desk.hear("paddle", paddle("active", 1, tenant="free", **other)).status == "accepted"
    desk.hear("paddle", paddle("ended", 2, tenant="free", **other))
    assert (desk.status("free"), desk.status("paid")) == ("served", "served")


def test_a_transaction_of_the_api_vouches_for_paddles_custom_data(desk: Desk) -> None:
    """Whether the transaction or the subscription is heard first, its end then closes."""
    for number, order in enumerate([(0, 1, 2), (2, 1, 0)]):
        tenant, sub = f"t{number}", f"sub_{number}"
        desk.begin(tenant)
        words = [
            transaction(sub, f"ctm_{number}", tenant),
            paddle("active", 1, sub=sub, customer=f"ctm_{number}", tenant=tenant),
            paddle("ended", 2, sub=sub, customer=f"ctm_{number}", tenant=tenant),
        ]
        for place in order:
            desk.hear("paddle", words[place])
        assert desk.status(tenant) == "closing"


def test_a_deployment_whose_server_opens_all_checkouts_trusts_custom_data(
    make_desk: Callable[..., Desk],
) -> None:
    """`PADDLE_CUSTOM_DATA=server` makes the name in a subscription count in full."""
    desk = make_desk(paddle_custom_data="server")
    desk.begin("acme")
    desk.hear("paddle", paddle("suspended"))
    assert desk.status("acme") == "suspended"


def test_a_deleted_customer_ends_all_of_its_subscriptions(desk: Desk) -> None:
    """Those that are known, and those that are only heard of later."""
    for number, first in enumerate([stripe("active", 1), bodies.customer_deleted(5)]):
        tenant, customer = f"t{number}", f"cus_{number}"
        desk.begin(tenant)
        active = stripe("active", 1, sub=f"sub_{number}", customer=customer, tenant=tenant)
        gone = bodies.customer_deleted(5, customer)
        for body in (active, gone) if "deleted" not in first["type"] else (gone, active):
            desk.hear("stripe", body)
        assert desk.status(tenant) == "closing"


def test_a_thin_event_finds_its_subscription(desk: Desk) -> None:
    """It has no customer and no metadata: known, it counts; else it waits for a fuller one."""
    desk.begin("acme")
    body = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.subscription.unpaid",
        "livemode": True,
        "created": moment(5).isoformat(),
        "related_object": {"id": "sub_1"},
    }
    assert desk.hear("stripe", body).status == "parked"
    assert desk.hear("stripe", stripe("active", 1)).tenant_status == "suspended"
    assert desk.hear("stripe", stripe("active", 6)).tenant_status == "activating"
    assert desk.hear("stripe", body | {"id": "evt_2"}).status == "accepted"
    vague = body | {"id": "evt_3", "type": "v1.customer.subscription.updated"}
    assert desk.hear("stripe", vague).status == "ignored"
    assert ("INBOX#stripe#live#evt_3", "META") not in desk.items()


def test_the_state_of_a_customer_tells_of_several_subscriptions(desk: Desk) -> None:
    """One event of Polar's links the customer and entitles by whatever is listed."""
    desk.begin("acme")
    desk.hear("polar", polar("suspended"))
    body = {
        "type": "customer.state_changed",
        "timestamp": moment(9).isoformat(),
        "data": {
            "id": "992f",
            "external_id": "acme",
            "active_subscriptions": [{"id": "7f0c"}, {"id": "8a11"}],
        },
    }
    assert desk.hear("polar", body, "msg_state").tenant_status == "activating"
    assert len(desk.control.subscriptions.book("acme").subscriptions) == 2
    assert desk.hear("polar", body, "msg_state").status == "duplicate"


def test_a_tenant_that_is_closed_stays_closed_and_its_payer_is_listed(desk: Desk) -> None:
    """A subscription for a tenant that is gone waits for a new signup, and counts from there."""
    desk.begin("acme", "closed", database_ulid=None, removed_at=moment(-9))
    answer = desk.hear("stripe", stripe("active", 1))
    assert (answer.status, answer.tenant_status) == ("parked", "closed")
    assert [one.tenant_id for one in desk.control.subscriptions.parked()] == ["acme"]
    desk.signup().signup(signup("acme"), body_sha256="a", trace="t")
    assert list(desk.control.subscriptions.parked()) == []
    desk.hear("stripe", stripe("ended", 2))
    assert desk.status("acme") == "closing"


def test_an_id_that_comes_back_starts_free(desk: Desk) -> None:
    """What ended in the life before does not close the new one, and neither do its echoes."""
    desk.begin("acme")
    desk.hear("stripe", stripe("ended", 1))
    before = desk.tenant("acme")
    closed = before.moved(TenantStatus.CLOSED, desk.moment[0], removed_at=moment(2))
    desk.table.write(_stored(desk, closed))
    desk.signup().signup(signup("acme"), body_sha256="a", trace="t")
    assert desk.tenant("acme").episode == 2
    desk.hear("stripe", stripe("ended", 7))
    assert desk.status("acme") == "pending"
    assert desk.entitlement("acme", 2).right is Right.FREE


def _stored(desk: Desk, tenant: Any) -> Any:
    (write,) = change_writes(Change(desk.tenant("acme"), tenant))
    return write


def test_without_a_subscription_there_is_a_free_plan_unless_one_is_required(
    make_desk: Callable[..., Desk],
) -> None:
    """`REQUIRE_SUBSCRIPTION` suspends who never paid; a subscription that waits does not serve."""
    for required, status in ((False, "served"), (True, "suspended")):
        desk = make_desk(require_subscription=required)
        desk.begin("acme")
        desk.hear("stripe", stripe("pending", 1))
        assert desk.status("acme") == status


def test_storage_that_fails_is_no_acknowledgement(desk: Desk) -> None:
    """When the table or the queue does not answer, the provider hears so and comes back."""
    desk.begin("acme")
    send = desk.queues.send

    def refuse(*_: Any, **__: Any) -> None:
        raise Transient("SQS does not answer")

    desk.queues.send = refuse  # type: ignore[method-assign] # an outage
    with pytest.raises(Transient):
        desk.hear("stripe", stripe("suspended", 1))
    desk.queues.send = send  # type: ignore[method-assign] # it is over
    assert desk.hear("stripe", stripe("suspended", 1)).status == "duplicate"
    assert desk.messages("tenant") == ["acme"]
