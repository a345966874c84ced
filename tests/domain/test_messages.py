"""Messages: what is ours is read, everything else is left to the dead letters."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.messages import Message, parse_message
from shared.errors import Permanent

KINDS = st.sampled_from(["tenant", "database", "pool", "shard"])


@given(
    KINDS,
    st.text(min_size=1, max_size=128),
    st.text(max_size=128),
    st.none() | st.text(max_size=40),
)
def test_a_message_survives_its_queue(kind: str, id_: str, trace: str, token: str | None) -> None:
    """What was sent is what is read."""
    sent = Message.model_validate({"kind": kind, "id": id_, "trace": trace, "token": token})
    assert parse_message(sent.body()) == sent


def test_the_body_is_this() -> None:
    """The wire form is a contract: another version of the functions reads it during a deploy."""
    body = Message(kind="tenant", id="org_1", trace="t").body()
    assert json.loads(body) == {"v": 1, "kind": "tenant", "id": "org_1", "trace": "t"}


def test_fields_of_a_newer_sender_are_passed_over() -> None:
    """A field that a later release adds does not stop an older worker."""
    assert parse_message('{"v":1,"kind":"pool","id":"weur","more":{}}').id == "weur"


@pytest.mark.parametrize(
    "body",
    [
        "",
        "no json",
        "null",
        "[]",
        '"tenant"',
        "{}",
        '{"kind":"tenant"}',
        '{"v":2,"kind":"tenant","id":"org_1"}',
        '{"v":1,"kind":"delete","id":"org_1"}',
        '{"v":1,"kind":"tenant","id":""}',
        '{"v":1,"kind":"tenant","id":7}',
        '{"v":1,"kind":"tenant","id":null}',
        '{"v":1,"kind":"tenant","id":["org_1"]}',
        '{"v":1,"kind":"tenant","id":"' + "x" * 129 + '"}',
        '{"v":1,"kind":"tenant","id":"org_1","trace":7}',
        '{"v":1,"kind":"tenant","id":"org_1","token":7}',
        '{"v":1,"kind":"tenant","id":"org_1"',
        '{"v":1,"kind":"tenant","id":"\\ud800"}',
    ],
)
def test_a_body_that_is_not_ours_is_permanent(body: str) -> None:
    """A malformed message is for a person; its text, which may hold anything, is not repeated."""
    with pytest.raises(Permanent, match=r"^not a work message: \d+ fields are wrong$"):
        parse_message(body)


@given(st.text())
def test_no_text_at_all_makes_the_parser_crash(body: str) -> None:
    """Whatever is in the queue is a message or a permanent error."""
    with suppress(Permanent):
        assert isinstance(parse_message(body), Message)
