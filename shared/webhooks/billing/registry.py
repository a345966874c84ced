"""Which billing providers there are, and which of them a deployment opened its door to."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from shared.webhooks.billing.base import BillingProvider
from shared.webhooks.billing.paddle import PADDLE
from shared.webhooks.billing.polar import POLAR
from shared.webhooks.billing.standard import STANDARD
from shared.webhooks.billing.stripe import STRIPE
from shared.webhooks.parsing import choose_providers

__all__ = ["BILLING_PROVIDERS", "billing_providers"]

BILLING_PROVIDERS: Mapping[str, BillingProvider] = MappingProxyType(
    {provider.name: provider for provider in (PADDLE, POLAR, STANDARD, STRIPE)}
)


def billing_providers(names: Iterable[str]) -> Mapping[str, BillingProvider]:
    """Return the adapters that a deployment chose by name.

    Raises:
        BadSettings: one line that names the setting and what may stand in it.
    """
    return choose_providers("BILLING_PROVIDERS", names, BILLING_PROVIDERS)
