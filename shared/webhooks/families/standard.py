"""Standard Webhooks 1.0.0 (HMAC form), under its own header names or Svix's.

Source: github.com/standard-webhooks/standard-webhooks, spec. Asymmetric signatures (`v1a`) are
skipped like every unknown version.
"""

import base64
import binascii
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
    check_window,
    load_keys,
    match,
    require,
    text_key,
    unix_time,
)

__all__ = ["StandardWebhooks"]

# A member of the list counts only as a whole: a malformed neighbour must not hide a good one.
# Blanks separate members; Supabase joins with ", ", and proxies join repeated headers with ",".
_MEMBER = re.compile(r"(?:^|[\s,])v1,([A-Za-z0-9+/]{43}=)(?=[\s,]|$)")
_MESSAGE_ID = re.compile(r"[\x21-\x7e]{1,256}")
# 24 to 64 bytes by the specification; Svix lets its users bring up to 75
_KEY_BYTES = range(24, 76)


def _base64_key(secret: str) -> bytes | None:
    # Supabase shows "v1,whsec_…". Decoding leniently would make some other key of a mistyped one.
    text = secret.removeprefix("v1,") if secret.startswith("v1,whsec_") else secret
    try:
        key = base64.b64decode(text.removeprefix("whsec_").encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return key if len(key) in _KEY_BYTES else None


@dataclass(frozen=True, slots=True)
class StandardWebhooks:
    """Verify `<prefix>-id`, `<prefix>-timestamp` and `<prefix>-signature`.

    `prefixes` are tried in order; the three headers are of one prefix. `encoding` says how the text
    of a secret becomes the key: `base64` as the specification has it, `utf8` as Polar does it.
    """

    prefixes: tuple[str, ...] = ("webhook", "svix")
    encoding: Literal["base64", "utf8"] = "base64"
    tolerance: int = 300

    def keys(self, secrets: Sequence[str]) -> Keys:
        """Make keys of the configured secrets."""
        return load_keys(secrets, _base64_key if self.encoding == "base64" else text_key)

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise `MissingHeaders` if the three headers are not there."""
        self._headers(headers)

    def verify(self, keys: Keys, headers: Mapping[str, str], body: bytes, now: float) -> Verified:
        """Return how the request proved its sender, or raise `BadSignature`."""
        message_id, timestamp, signature = self._headers(headers)
        if _MESSAGE_ID.fullmatch(message_id) is None:
            raise BadSignature("message id is not printable ASCII of at most 256 characters")
        sent_at = unix_time(timestamp)
        check_window(sent_at, now, self.tolerance)
        members = [member.encode("ascii") for member in _MEMBER.findall(signature)]
        if not members:
            raise BadSignature("no v1 signature")
        signed = f"{message_id}.{timestamp}.".encode("ascii") + body

        def expected(key: bytes) -> bytes:
            return base64.b64encode(hmac.digest(key, signed, hashlib.sha256))

        index = match(keys, members, expected, "signature")
        return Verified(secret_index=index, sent_at=sent_at, message_id=message_id)

    def _headers(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        present = [p for p in self.prefixes if f"{p}-id" in headers]
        prefix = (present or self.prefixes)[0]
        return require(headers, [f"{prefix}-{part}" for part in ("id", "timestamp", "signature")])
