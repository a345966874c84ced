"""What the other billing providers' events mean, and what no provider's event can do."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.billing_events import BillingEvent
from shared.domain.links import Hint
from shared.domain.subscription import Standing
from shared.settings import BadSettings
from shared.webhooks.billing import BILLING_PROVIDERS, billing_providers
from shared.webhooks.parsing import Ignored, Malformed
from tests.webhooks.billing_bodies import (
    END,
    ISO,
    LATER,
    PADDLE,
    POLAR,
    STANDARD,
    WHEN,
    event,
    paddle,
    parse,
    polar,
    standing,
    stripe,
    word,
)

STANDING_OF_ACTION = {
    "entitle": "active",
    "none now; record scheduled end": "active",
    "clear scheduled end": "active",
    "cancel grace timer; resume": "active",
    "resume": "active",
    "start grace timer": "past_due",
    "suspend (recoverable)": "suspended",
    "suspend, retention timer": "ended",
    "same as immediate: access ends at ended_at": "ended",
    "bind only; wait for checkout.session.async_payment_succeeded / active subscription": None,
    "warn only; let subscription.status decide": None,
    "park/resolve by customer_id": "active",
    "IGNORE: canceled is terminal for this subscription id; must not resume": "active",
    "verify passes; then refuse or park by configured mode (livemode != expected)": "ended",
}


def test_every_vector_means_what_it_says(provider: str, vector: dict[str, Any]) -> None:
    """Event id, type, tenant, standing and scheduled end of the vectors are found."""
    expect = vector["expect"]
    if provider not in BILLING_PROVIDERS or expect["verify"] == "reject" or "type" not in expect:
        return
    parsed = parse(provider, vector["body"].encode())
    if expect.get("action") == "ignore with 2xx" or expect["type"] == "customer.created":
        assert isinstance(parsed, Ignored)
        return
    assert isinstance(parsed, BillingEvent)
    if provider != "polar":  # there the header has it
        assert parsed.event_id == expect["event_id"]
    assert parsed.type == expect["type"]
    (said,) = parsed.words
    if "tenant" in expect:
        assert (said.hint and said.hint.tenant_id) == expect["tenant"]
    if "action" in expect:
        assert standing(said) == STANDING_OF_ACTION[expect["action"]]
    if "scheduled_end" in expect:
        assert said.fact is not None
        at = said.fact.ends_at and said.fact.ends_at.timestamp()
        assert at == expect["scheduled_end"]


def test_a_status_that_nobody_knows_is_told_and_changes_nothing() -> None:
    """A status of the future has no fact in it, and its name."""
    for provider, body in (
        ("stripe", stripe(status="frozen")),
        ("paddle", PADDLE | {"data": PADDLE["data"] | {"status": "frozen"}}),
        ("polar", POLAR | {"data": POLAR["data"] | {"status": "frozen"}}),
    ):
        parsed = event(provider, body)
        assert (parsed.unknown, parsed.words[0].fact) == ("frozen", None)


def test_paddles_custom_data_is_the_payers_until_a_server_vouches_for_it() -> None:
    """Only a transaction that the API made, or a setting, makes the name in it a trusted one."""
    assert word("paddle", PADDLE).hint == Hint(tenant_id="acme", vouched=False)
    assert word("paddle", PADDLE, ours=True).hint == Hint(tenant_id="acme", vouched=True)
    for origin, vouched in (("api", True), ("web", False), ("subscription_charge", False)):
        body = paddle("transaction.completed", subscription_id="sub_1", origin=origin)
        said = word("paddle", body)
        assert said.hint == Hint(tenant_id="acme", vouched=vouched)
        assert (said.subscription_id, said.customer_id, said.fact) == ("sub_1", "ctm_1", None)


def test_paddles_scheduled_changes() -> None:
    """A scheduled cancellation has an end; a scheduled pause, and a canceled one, have none."""
    change = {"action": "cancel", "effective_at": LATER}
    for data, ends_at in (
        ({"scheduled_change": change}, END),
        ({"scheduled_change": change | {"action": "pause"}}, None),
        ({"scheduled_change": change, "status": "canceled"}, None),
    ):
        fact = word("paddle", paddle(**data)).fact
        assert fact is not None
        assert (fact.ends_at, fact.at) == (ends_at, WHEN)


@pytest.mark.parametrize("custom", [None, "acme", ["acme"], {}, {"tenant": "acme"}])
def test_custom_data_of_another_shape_names_nobody(custom: Any) -> None:
    """Custom data is free: what has no tenant_id in it is no error."""
    assert word("paddle", paddle(custom_data=custom)).hint is None


@pytest.mark.parametrize(
    ("data", "tenant_id"),
    [
        ({}, "acme"),
        ({"metadata": {"tenant_id": "other"}}, "other"),
        ({"customer": {"external_id": "no id of ours"}}, None),
        ({"customer": {"external_id": None}, "metadata": None}, None),
    ],
)
def test_whose_a_subscription_of_polars_is(data: dict[str, Any], tenant_id: str | None) -> None:
    """Metadata first, then the customer's external id, if it can be a tenant's."""
    assert word("polar", polar(**data)).hint == (
        tenant_id and Hint(tenant_id=tenant_id, vouched=True)
    )


def test_polars_cancellation_is_announced_and_then_revoked() -> None:
    """`canceled` only schedules the end; `revoked` is the end, whatever status stands beside it."""
    announced = word("polar", polar("subscription.canceled", cancel_at_period_end=True)).fact
    assert announced is not None
    assert (announced.standing, announced.ends_at) == (Standing.ACTIVE, END)
    revoked = word("polar", polar("subscription.revoked")).fact
    assert revoked is not None
    assert (revoked.standing, revoked.final, revoked.ends_at) == (Standing.ENDED, True, None)


def test_polars_order_is_told_by_the_version_of_the_object() -> None:
    """What the object was changed at counts, not when the event was made of it."""
    fact = word("polar", polar(modified_at="2026-09-20T00:00:00Z")).fact
    assert fact is not None
    assert fact.at == datetime(2026, 9, 20, tzinfo=UTC)


def test_the_state_of_a_customer_of_polars() -> None:
    """It links the customer, and tells of each subscription that entitles."""
    body = {
        "type": "customer.state_changed",
        "timestamp": ISO,
        "data": {
            "id": "992fae2a",
            "external_id": "acme",
            "active_subscriptions": [{"id": "a"}, {"id": "b", "status": "trialing"}],
        },
    }
    link, *said = event("polar", body).words
    assert (link.customer_id, link.subscription_id) == ("992fae2a", None)
    assert [(each.subscription_id, standing(each)) for each in said] == [
        ("a", "active"),
        ("b", "active"),
    ]
    assert {each.hint for each in (link, *said)} == {Hint(tenant_id="acme", vouched=True)}
    body["data"]["active_subscriptions"] = [{"id": str(number)} for number in range(20)]  # type: ignore[index] # a dict
    assert isinstance(parse("polar", body), Malformed)
    gone = word("polar", body | {"type": "customer.deleted"} | {"data": {"id": "992fae2a"}})
    assert gone.gone_at == WHEN


@pytest.mark.parametrize(
    ("type_", "expected", "final"),
    [
        ("billing.active", "active", False),
        ("billing.end_scheduled", "active", False),
        ("billing.past_due", "past_due", False),
        ("billing.suspended", "suspended", False),
        ("billing.ended", "ended", True),
    ],
)
def test_our_own_events(type_: str, expected: str, final: bool) -> None:
    """Each type is a standing; a subscription with a name never comes back from its end."""
    said = word("standard", STANDARD | {"type": type_})
    assert said.fact is not None
    assert (standing(said), said.fact.final, said.fact.at) == (expected, final, WHEN)
    assert said.hint == Hint(tenant_id="acme", vouched=True)
    bare = word("standard", {"type": type_, "data": {"tenant_id": "acme"}})
    assert bare.fact is not None
    assert (bare.subscription_id, bare.fact.final) == ("tenant=acme", False)
    assert bare.fact.at == WHEN  # by the signed time of this attempt


def test_the_mode_of_our_own_events() -> None:
    """Without a mode it is the deployment's; with one, it is that."""
    assert event("standard", STANDARD, mode="live").mode == "live"
    assert event("standard", STANDARD | {"mode": "test"}, mode="live").mode == "test"
    assert isinstance(parse("standard", STANDARD | {"mode": "staging"}), Malformed)


def test_a_scheduled_end_is_told() -> None:
    """`ends_at` is shown while the subscription goes on, and meaningless once it has ended."""
    data = STANDARD["data"] | {"ends_at": LATER}
    for type_, ends_at in (("billing.end_scheduled", END), ("billing.ended", None)):
        fact = word("standard", STANDARD | {"type": type_, "data": data}).fact
        assert fact is not None
        assert fact.ends_at == ends_at


SMALL = {"stripe": stripe(), "paddle": PADDLE, "polar": POLAR, "standard": STANDARD}
TENANT_IN = {
    "stripe": lambda body, value: body["data"]["object"].update(metadata={"tenant_id": value}),
    "paddle": lambda body, value: body["data"].update(custom_data={"tenant_id": value}),
    "polar": lambda body, value: body["data"].update(metadata={"tenant_id": value}),
    "standard": lambda body, value: body["data"].update(tenant_id=value),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("tenant_id", ["", "a" * 129, "a b", "a/b", "ä", "a\n", "\ud800", 7, ["a"]])
def test_an_id_that_we_refuse_is_malformed(name: str, tenant_id: object) -> None:
    """A tenant's id with other characters, of another length or type is kept aside."""
    body = json.loads(json.dumps(SMALL[name]))
    TENANT_IN[name](body, tenant_id)
    parsed = parse(name, body)
    assert isinstance(parsed, Malformed)
    assert (parsed.mode, parsed.event_id is None) == ("test", False)
    assert "tenant_id" in parsed.reason
    assert "a/b" not in parsed.reason


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("field", ["id", "subscription_id"])
@pytest.mark.parametrize("value", ["", "a#b", "x" * 101, "tenant=acme", 7, {}])
def test_ids_that_could_not_be_keys_are_malformed(name: str, field: str, value: object) -> None:
    """The id of a subscription becomes part of a key, so nothing strange gets into it."""
    if (field == "id") == (name == "standard"):
        return
    body = json.loads(json.dumps(SMALL[name]))
    (body["data"].get("object") or body["data"])[field] = value
    assert isinstance(parse(name, body), Malformed)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("body", [b"[]", b"{}", b"1", b"null", b'{"type":7}', b"[" * 99999])
def test_json_of_another_shape_is_malformed(name: str, body: bytes) -> None:
    """A well-signed body without a type of event is kept aside, whatever it is."""
    raw = body + b"]" * 99999 if len(body) > 99 else body
    assert isinstance(parse(name, raw), Malformed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "type", "data", "object", "status", "customer", "metadata"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=json_values, name=st.sampled_from(sorted(SMALL)), data=st.data())
def test_no_document_can_raise(value: object, name: str, data: st.DataObject) -> None:
    """Whatever a well-signed body says is an event, ignored or malformed; nothing is raised."""
    if isinstance(value, dict) and data.draw(st.booleans()):
        value = SMALL[name] | value
    elif data.draw(st.booleans()):
        value = SMALL[name] | {"data": value}
    parsed = parse(name, json.dumps(value).encode())
    assert isinstance(parsed, BillingEvent | Ignored | Malformed)


def test_unknown_names_of_providers_are_refused_by_name() -> None:
    """A mistyped provider in the settings is one line that names the setting and the choices."""
    assert list(billing_providers(["stripe", "polar", "stripe"])) == ["stripe", "polar"]
    with pytest.raises(BadSettings) as caught:
        billing_providers(["stripe", "chargebee"])
    assert str(caught.value) == (
        "BILLING_PROVIDERS: chargebee: not of paddle, polar, standard, stripe"
    )
