"""A credential that is the same in every request: `Authorization: Bearer …` or `Basic …`.

It proves that the sender knows the credential, not that the body is unchanged or new: TLS and the
event's own id and time must do the rest.
"""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.webhooks.families.base import BadSignature, Keys, Verified, load_keys, match, require

__all__ = ["StaticCredential"]

# Whoever chooses a credential by hand must not choose one that can be guessed at once.
_CREDENTIAL = re.compile(r"[\x21-\x7e]{8,512}")


def _key(secret: str) -> bytes | None:
    return secret.encode("ascii") if _CREDENTIAL.fullmatch(secret) else None


@dataclass(frozen=True, slots=True)
class StaticCredential:
    """Verify a static credential; for `basic` the configured secret is `user:password`."""

    schemes: tuple[Literal["bearer", "basic"], ...] = ("bearer",)
    header: str = "authorization"

    def keys(self, secrets: Sequence[str]) -> Keys:
        """Make keys of the configured secrets: at least 8 printable characters, no blanks."""
        return load_keys(secrets, _key)

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise `MissingHeaders` if the header is not there."""
        require(headers, [self.header])

    def verify(self, keys: Keys, headers: Mapping[str, str], body: bytes, now: float) -> Verified:  # noqa: ARG002
        """Return which credential it was, or raise `BadSignature`; body and time play no part."""
        (value,) = require(headers, [self.header])
        scheme, _, rest = value.partition(" ")
        scheme, rest = scheme.lower(), rest.strip()
        if scheme not in self.schemes:
            raise BadSignature("another authentication scheme")
        try:
            given = rest.encode("ascii")
            if scheme == "basic":
                given = base64.b64decode(given, validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise BadSignature("credential is not well formed") from None
        return Verified(match(keys, [given], lambda key: key, "credential"))
