"""The search for secrets finds them, or it would prove nothing."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from tests.support.canaries import Canaries

KEY = bytes(range(200, 232))
SECRETS = {
    "signing": f"whsec_{base64.b64encode(KEY).decode()}",
    "token": "tkn_0fZ-9aQ_7xVbM3kLwE2sR8uYc5dHjG1pT6n",
}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    "hide",
    [
        str.encode,
        lambda text: quote(text, safe="").encode(),
        lambda text: text.encode().hex().encode(),
        lambda text: text.encode().hex().upper().encode(),
        lambda text: text[:-8].encode(),
        lambda text: text[14:].encode(),
        lambda text: json.dumps({"headers": [["authorization", f"Bearer {text}"]]}).encode(),
        *(
            lambda text, n=n, encode=encode: encode(b"x" * n + text.encode() + b"tail")
            for n in range(5)
            for encode in (base64.b64encode, base64.urlsafe_b64encode)
        ),
    ],
)
def test_a_secret_is_found_in_any_form(name: str, hide: Callable[[str], bytes]) -> None:
    """Plain, quoted, in hexadecimal, cut at either end, in base64 wherever it begins."""
    hidden = b"before " + hide(SECRETS[name]) + b" after"
    assert Canaries(SECRETS).find_all([("log", hidden)]) == [(name, "log")]


@pytest.mark.parametrize("hide", [bytes, bytes.hex, base64.b64encode, base64.urlsafe_b64encode])
def test_a_key_is_found_that_a_signing_secret_stands_for(hide: Callable[[bytes], object]) -> None:
    """Who decodes the secret and writes the key down has leaked it as well."""
    hidden = hide(KEY)
    data = hidden if isinstance(hidden, bytes) else str(hidden).encode()
    assert Canaries(SECRETS).find_all([("log", data)]) == [("signing", "log")]


def test_what_is_no_secret_is_not_found() -> None:
    """The prefix that all signing secrets share gives none of them away, nor does another one."""
    other = f"whsec_{base64.b64encode(bytes(range(32))).decode()}"
    data = [("log", b"whsec_ tkn_"), ("other", other.encode()), ("nothing", b"")]
    assert Canaries(SECRETS).find_all(data) == []
