"""The billing providers' own APIs: what a subscription is at this moment, in our words."""

from shared.billing_api.client import API_KEYS, BillingApi

__all__ = ["API_KEYS", "BillingApi"]
