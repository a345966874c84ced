"""One header of `key=value` pairs that carries a time stamp and hex HMAC-SHA256 signatures.

Stripe, WorkOS, Paddle and RevenueCat do it so, each with its own letters.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.webhooks.families.base import (
    BadSignature,
    Keys,
    Verified,
    check_window,
    load_keys,
    match,
    require,
    text_key,
    unix_time,
)

__all__ = ["StampedHeader"]

_HEX = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StampedHeader:
    """Verify e.g. `Stripe-Signature: t=<s>,v1=<hex>,v1=<hex>` over `<t>.<body>`.

    `header` is lower case. Blanks around pairs are tolerated; keys that are not known, and
    signatures that are no SHA-256 in hex, are skipped; two time stamps are refused.
    `milliseconds` is the unit of the time stamp; `tolerance` is in seconds.
    """

    header: str
    time_key: str = "t"
    signature_key: str = "v1"
    separator: str = ","
    joiner: str = "."
    milliseconds: bool = False
    tolerance: int = 300

    def keys(self, secrets: Sequence[str]) -> Keys:
        """Make keys of the configured secrets, which are used as they are written."""
        return load_keys(secrets, text_key)

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise `MissingHeaders` if the header is not there."""
        require(headers, [self.header])

    def verify(self, keys: Keys, headers: Mapping[str, str], body: bytes, now: float) -> Verified:
        """Return how the request proved its sender, or raise `BadSignature`."""
        (value,) = require(headers, [self.header])
        pairs = [
            tuple(p.strip() for p in part.partition("=")) for part in value.split(self.separator)
        ]
        times = [text for key, _, text in pairs if key == self.time_key]
        if len(times) != 1:
            raise BadSignature("not exactly one time stamp")
        sent_at = unix_time(times[0], milliseconds=self.milliseconds)
        check_window(sent_at, now, self.tolerance)
        signatures = [
            text.encode("ascii")
            for key, _, text in pairs
            if key == self.signature_key and _HEX.fullmatch(text)
        ]
        if not signatures:
            raise BadSignature("no well-formed signature")
        signed = f"{times[0]}{self.joiner}".encode("ascii") + body

        def expected(key: bytes) -> bytes:
            return hmac.digest(key, signed, hashlib.sha256).hex().encode("ascii")

        return Verified(match(keys, signatures, expected, "signature"), sent_at=sent_at)
