"""Sign requests in the Standard Webhooks form: HMAC-SHA256 over `id.timestamp.body`."""

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime

from shared.errors import Permanent

__all__ = ["signed_headers"]

_PREFIX = "whsec_"


def signed_headers(
    secret: str,
    body: bytes,
    now: datetime,
    request_id: str | None = None,
    *,
    called: str = "",
) -> dict[str, str]:
    """Return the three headers that prove that a body is ours and of this moment.

    `secret` is `whsec_` and base64; without a `request_id` each call signs with a fresh one.
    `called` is what the secret is called where it is kept.

    Raises:
        Permanent: it is not.
    """
    request_id = request_id or f"req_{secrets.token_hex(16)}"
    timestamp = str(int(now.timestamp()))
    content = f"{request_id}.{timestamp}.".encode() + body
    digest = hmac.new(_key(secret, called), content, hashlib.sha256).digest()
    return {
        "webhook-id": request_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _key(secret: str, name: str) -> bytes:
    text = secret.strip()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    # 24 to 64 bytes, as the Standard Webhooks specification has it; the router takes no other.
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        # No chain: the cause would quote the secret.
        raise Permanent(
            f"the secret {name} must be whsec_ and 24 to 64 bytes in base64: put a valid one"
        ) from None
    return key
