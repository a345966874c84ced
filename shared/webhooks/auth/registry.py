"""Which auth providers there are, and which of them a deployment opened its door to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from shared.webhooks.auth.auth0 import AUTH0
from shared.webhooks.auth.base import AuthProvider
from shared.webhooks.auth.clerk import CLERK
from shared.webhooks.auth.standard import STANDARD
from shared.webhooks.auth.supabase import SUPABASE
from shared.webhooks.auth.workos import WORKOS
from shared.webhooks.parsing import choose_providers

__all__ = ["AUTH_PROVIDERS", "auth_providers"]

AUTH_PROVIDERS: Mapping[str, AuthProvider] = MappingProxyType(
    {provider.name: provider for provider in (AUTH0, CLERK, STANDARD, SUPABASE, WORKOS)}
)


def auth_providers(names: Iterable[str]) -> Mapping[str, AuthProvider]:
    """Return the adapters that a deployment chose by name.

    Raises:
        BadSettings: one line that names the setting and what may stand in it.
    """
    return choose_providers("AUTH_PROVIDERS", names, AUTH_PROVIDERS)
