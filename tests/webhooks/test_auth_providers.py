"""What each auth provider's events mean."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.auth_events import AuthEvent
from shared.settings import BadSettings
from shared.webhooks.auth import AUTH_PROVIDERS, Parsed, TenantIs, auth_providers
from shared.webhooks.documents import read_document
from shared.webhooks.families import Verified
from shared.webhooks.parsing import Ignored, Malformed

OF_VECTORS = {
    "auth0_event_stream": "auth0",
    "supabase_auth_hook": "supabase",
    "workos": "workos",
}


def parse(
    provider: str, body: bytes | dict[str, Any], tenant_is: TenantIs = "organization"
) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    verified = Verified(0, 1_790_000_000.0, "msg_1")
    return AUTH_PROVIDERS[provider].parse(read_document(raw), verified, tenant_is)


def test_every_vector_means_what_it_says(provider: str, vector: dict[str, Any]) -> None:
    """Event id, type and tenant of each provider's examples are found where they stand."""
    name = OF_VECTORS.get(provider)
    expect = vector["expect"]
    if name is None or "type" not in expect:
        return
    user = expect["type"].startswith("user") or name == "supabase"
    parsed = parse(name, vector["body"].encode(), "user" if user else "organization")
    if expect["type"] == "organization.member.added":
        assert parsed == Ignored(expect["type"], "no tenant depends on this type of event")
        return
    assert isinstance(parsed, AuthEvent)
    assert (parsed.provider, parsed.type, parsed.event_id) == (
        name,
        expect["type"],
        expect["event_id"],
    )
    theirs = expect.get("tenant_ref") or expect.get("user_ref")
    if theirs is not None:
        assert parsed.tenant_id == theirs


WHEN = datetime(2026, 9, 21, 13, 33, 20, tzinfo=UTC)
CLERK = {"object": "event", "timestamp": 1716883200}
MS = 1_789_997_600_000
TABLE: list[tuple[str, TenantIs, dict[str, Any], dict[str, Any] | str]] = [
    (
        "clerk",
        "organization",
        CLERK
        | {
            "type": "organization.created",
            "data": {"id": "org_1", "name": " Acme \n Corp ", "created_at": 1, "updated_at": MS},
        },
        {"verb": "tenant.requested", "event_id": "msg_1", "tenant_id": "org_1"}
        | {
            "display_name": "Acme Corp",
            "occurred_at": WHEN,
        },
    ),
    (
        "clerk",
        "organization",
        CLERK | {"type": "organization.deleted", "data": {"id": "org_1", "deleted": True}},
        {"verb": "tenant.removed", "occurred_at": None, "display_name": None},
    ),
    (
        "clerk",
        "user",
        CLERK | {"type": "user.updated", "data": {"id": "user_1", "email_addresses": []}},
        {"verb": "tenant.updated", "tenant_id": "user_1"},
    ),
    ("clerk", "user", CLERK | {"type": "organization.created"}, "a tenant is a user here"),
    ("clerk", "organization", {"type": "user.created"}, "a tenant is an organization here"),
    (
        "clerk",
        "organization",
        CLERK | {"type": "organizationMembership.created", "data": {"id": "orgmem_1"}},
        "no tenant depends on this type of event",
    ),
    (
        "workos",
        "organization",
        {
            "id": "event_1",
            "event": "organization.deleted",
            "data": {"id": "org_1", "external_id": "acme", "updated_at": "2026-01-01T00:00:00Z"},
            "created_at": "2026-09-21T13:33:20.000Z",
        },
        {"verb": "tenant.removed", "event_id": "event_1", "tenant_id": "org_1"}
        | {"occurred_at": WHEN},
    ),
    (
        "workos",
        "organization",
        {
            "id": "event_1",
            "event": "organization.updated",
            "data": {"id": "org_1", "name": "Foo", "updated_at": "2026-09-21T15:33:20+02:00"},
            "created_at": "2026-10-21T13:33:20.000Z",
        },
        {"verb": "tenant.updated", "occurred_at": WHEN, "display_name": "Foo"},
    ),
    (
        "auth0",
        "user",
        {
            "id": "evt_1",
            "type": "user.created",
            "time": "2026-09-21T13:33:20",
            "data": {"object": {"user_id": "auth0|507f", "name": "John Doe"}},
        },
        {"verb": "tenant.requested", "tenant_id": "auth0|507f", "mode": "live"}
        | {"occurred_at": WHEN, "display_name": None},
    ),
    (
        "auth0",
        "organization",
        {
            "id": "evt_1",
            "type": "organization.deleted",
            "a0purpose": "test",
            "data": {"object": {"id": "org_1", "name": "n", "display_name": "N"}},
        },
        {"verb": "tenant.removed", "mode": "test", "display_name": "N", "occurred_at": None},
    ),
    (
        "supabase",
        "organization",
        {"metadata": {"uuid": "u-1", "name": "before-user-created"}, "user": {"id": "ff7f"}},
        {"verb": "tenant.requested", "event_id": "u-1", "tenant_id": "ff7f"},
    ),
    (
        "supabase",
        "user",
        {"metadata": {"uuid": "u-1", "name": "send-sms"}, "user": {"id": "ff7f"}},
        "no tenant depends on this type of event",
    ),
    (
        "standard",
        "user",
        {"type": "tenant.created", "timestamp": "2026-09-21T13:33:20Z", "data": {"id": "acme"}},
        {"verb": "tenant.requested", "event_id": "msg_1", "occurred_at": WHEN},
    ),
    (
        "standard",
        "organization",
        {"type": "tenant.updated", "data": {"id": "a:b|c@d.e-f_g", "name": "x" * 300}},
        {"verb": "tenant.updated", "tenant_id": "a:b|c@d.e-f_g", "display_name": "x" * 200},
    ),
    (
        "standard",
        "organization",
        {"type": "tenant.deleted", "data": {"id": "acme", "name": None}, "timestamp": 1790000000},
        {"verb": "tenant.removed", "occurred_at": datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)},
    ),
]


@pytest.mark.parametrize(("name", "tenant_is", "body", "expected"), TABLE)
def test_what_an_event_becomes(
    name: str, tenant_is: TenantIs, body: dict[str, Any], expected: dict[str, Any] | str
) -> None:
    """Each provider's shape becomes our event, or says why it is none of our business."""
    parsed = parse(name, body, tenant_is)
    if isinstance(expected, str):
        assert isinstance(parsed, Ignored)
        assert parsed.reason == expected
    else:
        assert isinstance(parsed, AuthEvent)
        assert {key: getattr(parsed, key) for key in expected} == expected


SMALL: dict[str, tuple[dict[str, Any], Callable[[dict[str, Any], object], object]]] = {
    "clerk": (
        {"type": "organization.created", "data": {"id": "org_1"}},
        lambda body, value: body["data"].update(id=value),
    ),
    "standard": (
        {"type": "tenant.created", "data": {"id": "org_1"}},
        lambda body, value: body["data"].update(id=value),
    ),
    "workos": (
        {"id": "event_1", "event": "organization.created", "data": {"id": "org_1"}},
        lambda body, value: body["data"].update(id=value),
    ),
    "auth0": (
        {"id": "evt_1", "type": "organization.created", "data": {"object": {"id": "org_1"}}},
        lambda body, value: body["data"]["object"].update(id=value),
    ),
    "supabase": (
        {"metadata": {"uuid": "u", "name": "after-user-created"}, "user": {"id": "1"}},
        lambda body, value: body["user"].update(id=value),
    ),
}


@pytest.mark.parametrize("name", AUTH_PROVIDERS)
@pytest.mark.parametrize(
    "tenant_id",
    ["", "a" * 129, "a b", "a/b", "ä", "a\n", "a\x00", "\ud800", 7, None, True, ["a"], {}],
)
def test_an_id_that_we_refuse_is_malformed(name: str, tenant_id: object) -> None:
    """An id with other characters, of another length or type is kept aside and not repeated."""
    body, put = json.loads(json.dumps(SMALL[name][0])), SMALL[name][1]
    put(body, tenant_id)
    parsed = parse(name, body)
    assert isinstance(parsed, Malformed)
    assert parsed.event_id is not None
    assert "id: " in parsed.reason
    assert "a/b" not in parsed.reason


@pytest.mark.parametrize("name", AUTH_PROVIDERS)
def test_an_id_of_128_characters_is_fine(name: str) -> None:
    """The longest id is accepted."""
    body, put = json.loads(json.dumps(SMALL[name][0])), SMALL[name][1]
    put(body, "a" * 128)
    assert isinstance(parse(name, body), AuthEvent)


@pytest.mark.parametrize("name", AUTH_PROVIDERS)
@pytest.mark.parametrize("body", [b"[]", b"{}", b"1", b'"x"', b"null", b'{"type":7}', b"[" * 99999])
def test_json_of_another_shape_is_malformed(name: str, body: bytes) -> None:
    """A well-signed body without a type of event is kept aside, whatever it is."""
    raw = body + b"]" * 99999 if len(body) > 99 else body
    assert isinstance(parse(name, raw), Malformed)


@pytest.mark.parametrize("name", AUTH_PROVIDERS)
def test_flaws_matter_only_in_events_that_matter(name: str) -> None:
    """A duplicate key spoils an event of a known type; of an unknown type nothing is kept."""
    known = json.dumps(SMALL[name][0]).encode()
    flawed = known[:-1] + b',"x":1,"x":2}'
    parsed = parse(name, flawed)
    assert isinstance(parsed, Malformed)
    assert parsed.reason == "duplicate keys"
    unknown = flawed.replace(b"created", b"boiled")
    assert isinstance(parse(name, unknown), Ignored)


@pytest.mark.parametrize("event_id", ["", "a b", "x" * 257, "ä", 5, None])
def test_an_event_id_that_could_not_be_a_key_is_malformed(event_id: object) -> None:
    """Without a usable id nobody could know duplicates, so the event is kept aside."""
    body = SMALL["workos"][0] | {"id": event_id}
    assert parse("workos", body) == Malformed(reason=parse("workos", body).reason, event_id=None)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "moment",
    [
        True,
        "yesterday",
        -(10**25),
        1e300,
        "0001-01-01T00:00:00+23:59",
        {},
        "9999-12-31T23:59:59-23:59",
    ],
)
def test_a_time_that_is_none_is_malformed(moment: object) -> None:
    """A time that can't be told is not guessed."""
    parsed = parse("standard", SMALL["standard"][0] | {"timestamp": moment})
    assert isinstance(parsed, Malformed)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "type", "event", "data", "object", "user", "metadata", "uuid", "time"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(value=json_values, name=st.sampled_from(list(AUTH_PROVIDERS)), data=st.data())
def test_no_document_can_raise(value: object, name: str, data: st.DataObject) -> None:
    """Whatever a well-signed body says is an event, ignored or malformed; nothing is raised."""
    if isinstance(value, dict) and data.draw(st.booleans()):
        value = SMALL[name][0] | value
    parsed = parse(
        name, json.dumps(value).encode(), data.draw(st.sampled_from(["user", "organization"]))
    )
    assert isinstance(parsed, AuthEvent | Ignored | Malformed)


def test_unknown_names_of_providers_are_refused_by_name() -> None:
    """A mistyped provider in the settings is one line that names the setting and the choices."""
    assert list(auth_providers(["standard", "clerk", "clerk"])) == ["standard", "clerk"]
    with pytest.raises(BadSettings) as caught:
        auth_providers(["clerk", "okta"])
    assert str(caught.value) == (
        "AUTH_PROVIDERS: okta: not of auth0, clerk, standard, supabase, workos"
    )
