"""The auth providers: how each signs, and what its events mean. One small module each."""

from shared.webhooks.auth.base import AuthProvider, Ignored, Malformed, Parsed, TenantIs
from shared.webhooks.auth.registry import AUTH_PROVIDERS, UnknownProvider, auth_providers

__all__ = [
    "AUTH_PROVIDERS",
    "AuthProvider",
    "Ignored",
    "Malformed",
    "Parsed",
    "TenantIs",
    "UnknownProvider",
    "auth_providers",
]
