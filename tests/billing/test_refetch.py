"""With an API key an event is a hint, and the subscription is fetched."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from shared.billing_api.client import BillingApi
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, RetryLater
from shared.domain.standing import Right
from shared.domain.subscription import Ref
from shared.errors import Permanent, Transient
from shared.usecases.refetch_subscription import RefetchSubscription
from shared.usecases.review_billing import ReviewBilling
from tests.billing.bodies import START, checkout, paddle, polar, stripe
from tests.billing.desk import Desk
from tests.support.billing_apis import KEY, BillingApis

URLS = {name: f"http://billing/{name}" for name in ("stripe", "paddle", "polar")}
MESSAGE = Message(kind="subscription", id="stripe:live:sub_1", trace="t")


@pytest.fixture
def apis() -> BillingApis:
    return BillingApis()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    made = make_desk(fetches=("stripe", "paddle", "polar"))
    made.begin("acme")
    return made


def refetch(desk: Desk, apis: BillingApis, key: str = KEY) -> RefetchSubscription:
    api = BillingApi(apis.client(), URLS, lambda _: key, clock=desk.control.now)
    return RefetchSubscription(desk.control, api.subscription)


def object_(body: dict[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = body["data"]
    return data.get("object", data)


@pytest.mark.parametrize(
    ("provider", "body", "id_"),
    [
        ("stripe", stripe("suspended"), "sub_1"),
        ("paddle", paddle("active"), "sub_p"),
        ("polar", polar("suspended"), "7f0c"),
    ],
)
def test_what_is_fetched_counts_and_not_the_event(
    desk: Desk, apis: BillingApis, provider: str, body: dict[str, Any], id_: str
) -> None:
    """An event asks for its subscription; whatever it says, the API's answer is what counts."""
    hint = {"stripe": stripe, "paddle": paddle, "polar": polar}[provider]("ended", 9)
    apis.subscriptions[provider, id_] = object_(body)
    answer = desk.hear(provider, hint)
    assert (answer.status, answer.tenant_status) == ("accepted", "active")
    assert desk.messages("subscription") == [f"{provider}:live:{id_}"]
    message = MESSAGE.model_copy(update={"id": f"{provider}:live:{id_}"})
    assert refetch(desk, apis)(message) == Done()
    right = Right.ACTIVE if provider == "paddle" else Right.SUSPENDED
    assert desk.entitlement("acme").right is right
    assert refetch(desk, apis)(message) == Done()
    assert apis.asked == 1


def test_a_checkout_links_what_the_api_can_not_tell(desk: Desk, apis: BillingApis) -> None:
    """Links are taken from the event, for the fetched subscription may name nobody."""
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("suspended", tenant=None))
    desk.hear("stripe", checkout())
    refetch(desk, apis)(MESSAGE)
    assert desk.status("acme") == "suspended"


def test_an_event_without_facts_is_worth_a_look(desk: Desk, apis: BillingApis) -> None:
    """A thin event that says too little alone is enough to fetch its subscription."""
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("suspended"))
    thin = {
        "id": "evt_thin",
        "object": "v2.core.event",
        "type": "v1.customer.subscription.updated",
        "livemode": True,
        "created": "2026-09-21T12:00:00Z",
        "related_object": {"id": "sub_1"},
    }
    assert desk.hear("stripe", thin).status == "parked"
    refetch(desk, apis)(MESSAGE)
    assert desk.status("acme") == "suspended"


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_an_outage_loses_nothing(desk: Desk, apis: BillingApis, status: int) -> None:
    """It is tried again by one chain of messages, and done when the API answers."""
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("suspended"))
    desk.hear("stripe", stripe("active"))
    apis.status = status
    first = refetch(desk, apis)(MESSAGE)
    second = refetch(desk, apis)(MESSAGE)
    assert isinstance(first, RetryLater)
    assert isinstance(second, RetryLater)
    assert 0 < first.after < second.after
    assert KEY not in second.why
    apis.status = None
    stale = MESSAGE.model_copy(update={"token": first.token})
    assert (refetch(desk, apis)(stale), desk.status("acme")) == (Done(), "served")
    live = MESSAGE.model_copy(update={"token": second.token})
    assert (refetch(desk, apis)(live), desk.status("acme")) == (Done(), "suspended")


def test_a_lost_message_is_found_by_the_sweep(desk: Desk, apis: BillingApis) -> None:
    """A wish that is overdue is sent again; one that waits for its next attempt is not."""
    desk.hear("stripe", stripe("active"))
    review = ReviewBilling(desk.control)
    assert review("t").refetched == 0
    desk.pass_(minutes=6)
    assert review("t").refetched == 1
    apis.status = 503
    refetch(desk, apis)(MESSAGE)
    assert review("t").refetched == 0
    assert desk.messages("subscription") == ["stripe:live:sub_1"] * 2


def test_a_refused_key_is_told_once_and_tried_again(desk: Desk, apis: BillingApis) -> None:
    """A person hears of it once; when the key is mended the sweep brings the wish back."""
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("suspended"))
    desk.hear("stripe", stripe("active"))
    outcome = refetch(desk, apis, key="a wrong key")(MESSAGE)
    assert isinstance(outcome, GaveUp)
    assert "billing/stripe-api-key" in outcome.reason
    assert "wrong key" not in outcome.reason
    refetch(desk, apis, key="a wrong key")(MESSAGE)
    assert desk.alerts() == ["billing_api_refused"]
    desk.pass_(minutes=21)
    assert ReviewBilling(desk.control)("t").refetched == 1
    assert (refetch(desk, apis)(MESSAGE), desk.status("acme")) == (Done(), "suspended")


@pytest.mark.parametrize("found", [None, "frozen"])
def test_what_the_api_can_not_tell_changes_nothing(
    desk: Desk, apis: BillingApis, found: str | None
) -> None:
    """No such subscription, or a status of the future: a person is told, and that is all."""
    if found is not None:
        apis.subscriptions["stripe", "sub_1"] = object_(stripe(found))
    desk.hear("stripe", stripe("ended"))
    assert refetch(desk, apis)(MESSAGE) == Done()
    assert (desk.status("acme"), desk.alerts()) == ("served", ["billing_status_unknown"])
    assert refetch(desk, apis)(MESSAGE) == Done()
    assert apis.asked == 1


def test_a_wish_that_comes_while_one_is_fetched_is_kept(desk: Desk, apis: BillingApis) -> None:
    """What was fetched before the second event may be older than it: it is fetched again."""
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("active"))
    desk.hear("stripe", stripe("active"))
    use = refetch(desk, apis)

    def fetch(ref: Ref) -> Any:
        word = use.fetch(ref)
        desk.pass_(seconds=1)
        desk.hear("stripe", stripe("ended", 9))
        return word

    assert RefetchSubscription(desk.control, fetch)(MESSAGE) == Done()
    apis.subscriptions["stripe", "sub_1"] = object_(stripe("ended"))
    assert use(MESSAGE) == Done()
    assert desk.status("acme") == "closing"


def test_a_message_that_names_nothing_is_left_to_people() -> None:
    """An id that nobody wrote goes to the dead letters."""
    with pytest.raises(Permanent, match="not a subscription's name"):
        RefetchSubscription(None, lambda _: None)(MESSAGE.model_copy(update={"id": "x"}))  # type: ignore[arg-type] # never reached


class TestApi:
    """The client alone."""

    def ask(self, answer: Callable[[httpx.Request], httpx.Response], **more: Any) -> Any:
        http = httpx.Client(transport=httpx.MockTransport(answer))
        api = BillingApi(http, URLS, lambda _: KEY, clock=lambda: START)
        return api.subscription(Ref(more.get("provider", "stripe"), "live", "sub_1"))

    @pytest.mark.parametrize(
        ("status", "error"),
        [(s, Transient) for s in (408, 409, 425, 429, 500, 503, 599)]
        + [(s, Permanent) for s in (201, 204, 301, 400, 401, 403, 422)],
    )
    def test_each_status_has_its_meaning(self, status: int, error: type[Exception]) -> None:
        """What passes by itself is tried again, for the rest a person is called; no key in it."""
        with pytest.raises(error) as caught:
            self.ask(lambda _: httpx.Response(status, text=KEY, headers={"Retry-After": "7"}))
        assert KEY not in str(caught.value)
        if status == 429:
            assert caught.value.retry_after == 7  # type: ignore[attr-defined] # a Transient

    @pytest.mark.parametrize(
        "error", [httpx.ConnectError, httpx.ReadTimeout, httpx.RemoteProtocolError]
    )
    def test_no_answer_is_transient(self, error: type[httpx.TransportError]) -> None:
        """Whatever breaks on the way is tried again, and the request is not quoted."""

        def fail(_: httpx.Request) -> httpx.Response:
            raise error(f"sent {KEY}")

        with pytest.raises(Transient) as caught:
            self.ask(fail)
        assert KEY not in str(caught.value)

    def test_answers_that_are_none_are_refused(self) -> None:
        """Another shape, another subscription or another mode is nothing to act on."""
        good = object_(stripe("active"))
        for body in ([], {}, good | {"id": "sub_2"}, good | {"livemode": False}):
            with pytest.raises(Permanent):
                self.ask(lambda _, body=body: httpx.Response(200, json=body))  # type: ignore[misc] # bound now
        with pytest.raises(Transient):
            self.ask(lambda _: httpx.Response(200, text="<html>"))
        with pytest.raises(Permanent, match="no API"):
            self.ask(lambda _: httpx.Response(200, json=good), provider="standard")
