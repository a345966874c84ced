"""The auth providers: how each signs, and what its events mean. One small module each."""

from shared.webhooks.auth.base import AuthProvider, Parsed, TenantIs
from shared.webhooks.auth.registry import AUTH_PROVIDERS, auth_providers

__all__ = ["AUTH_PROVIDERS", "AuthProvider", "Parsed", "TenantIs", "auth_providers"]
