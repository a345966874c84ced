"""The billing providers: how each signs, and what its events mean. One small module each."""

from shared.webhooks.billing.base import BillingProvider, Parsed, Reading
from shared.webhooks.billing.registry import BILLING_PROVIDERS, billing_providers

__all__ = ["BILLING_PROVIDERS", "BillingProvider", "Parsed", "Reading", "billing_providers"]
