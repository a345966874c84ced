"""Reading JSON that a stranger wrote."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.webhooks.documents import NotJson, read_document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"not json",
        b'{"a":1',
        b'{"a":1}}',
        b"{'a':1}",
        b"\xff\xfe{}",
        b'{"a":"\xff"}',
        "{}".encode("utf-16"),
        b"\xef\xbb\xbf{}",
        b'{"a":"\x00"}',
        b"nan",
    ],
)
def test_what_is_no_json_in_utf8_is_refused(body: bytes) -> None:
    """Empty, cut, single-quoted, badly encoded: none of them is a document."""
    with pytest.raises(NotJson) as caught:
        read_document(body)
    assert "'a'" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "flaw"),
    [
        (b'{"a":1,"a":2}', "duplicate keys"),
        (b'{"b":{"a":1,"a":2}}', "duplicate keys"),
        (b'{"a":NaN}', "NaN or Infinity"),
        (b"[-Infinity]", "NaN or Infinity"),
        (b'{"a":' + b"9" * 5000 + b"}", "a number out of any range"),
        (b"[" * 200_000 + b"]" * 200_000, "nested too deeply"),
        (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, "nested too deeply"),
    ],
)
def test_what_readers_may_understand_differently_is_flawed(body: bytes, flaw: str) -> None:
    """Such a document is read, but says that nobody should act on it."""
    assert read_document(body).flaw == flaw


def test_a_plain_document_has_no_flaw() -> None:
    """Ordinary JSON comes back as it is, lone surrogates included."""
    document = read_document(b'{"a":[1,2.5,null,"\\ud800"],"b":-12345678901234567890}')
    assert document.flaw is None
    assert document.value == {"a": [1, 2.5, None, "\ud800"], "b": -12345678901234567890}


@given(st.binary(max_size=200))
def test_bytes_never_raise_anything_else(body: bytes) -> None:
    """Any bytes are a document or `NotJson`."""
    with contextlib.suppress(NotJson):
        read_document(body)
