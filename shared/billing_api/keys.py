"""Which billing providers can be asked, and where their API keys are. Needs no HTTP client."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

__all__ = ["API_KEYS"]

API_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "stripe": "billing/stripe-api-key",
        "paddle": "billing/paddle-api-key",
        "polar": "billing/polar-api-key",
    }
)
"""By provider: the secret that holds its API key; empty or absent, nothing is fetched."""
