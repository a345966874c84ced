"""One header with an HMAC-SHA256 of the body and nothing else (Lemon Squeezy, Descope).

Nothing signed tells the time, so an old request can be replayed: whoever uses this family must know
duplicates by the body, and trust versions inside of it rather than the order of arrival.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.webhooks.families.base import (
    BadSignature,
    Keys,
    Verified,
    load_keys,
    match,
    require,
    text_key,
)

__all__ = ["BareHmac"]

_FORMS = {"hex": re.compile(r"[0-9a-f]{64}"), "base64": re.compile(r"[A-Za-z0-9+/]{43}=")}


@dataclass(frozen=True, slots=True)
class BareHmac:
    """Verify `<header>: <HMAC-SHA256 of the body>` in hex or base64; `header` is lower case."""

    header: str
    encoding: Literal["hex", "base64"] = "hex"

    def keys(self, secrets: Sequence[str]) -> Keys:
        """Make keys of the configured secrets, which are used as they are written."""
        return load_keys(secrets, text_key)

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise `MissingHeaders` if the header is not there."""
        require(headers, [self.header])

    def verify(self, keys: Keys, headers: Mapping[str, str], body: bytes, now: float) -> Verified:  # noqa: ARG002
        """Return how the request proved its sender, or raise `BadSignature`."""
        (value,) = require(headers, [self.header])
        if _FORMS[self.encoding].fullmatch(value) is None:
            raise BadSignature("signature is not well formed")

        def expected(key: bytes) -> bytes:
            digest = hmac.digest(key, body, hashlib.sha256)
            if self.encoding == "hex":
                return digest.hex().encode("ascii")
            return base64.b64encode(digest)

        return Verified(match(keys, [value.encode("ascii")], expected, "signature"))
