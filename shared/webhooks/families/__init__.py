"""The verification families: each knows one way in which providers prove who they are.

They need the standard library alone, know several secrets at once, compare in constant time and
raise nothing but `BadSignature` (and its `MissingHeaders`) on whatever a stranger sends. A family
that checks JSON Web Tokens is left out on purpose: no provider that d1fleet knows needs one.
"""

from shared.webhooks.families.bare import BareHmac
from shared.webhooks.families.base import (
    BadSignature,
    Family,
    Keys,
    MissingHeaders,
    Verified,
)
from shared.webhooks.families.stamped import StampedHeader
from shared.webhooks.families.standard import StandardWebhooks
from shared.webhooks.families.static import StaticCredential

__all__ = [
    "BadSignature",
    "BareHmac",
    "Family",
    "Keys",
    "MissingHeaders",
    "StampedHeader",
    "StandardWebhooks",
    "StaticCredential",
    "Verified",
]
