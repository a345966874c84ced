"""The billing providers' own APIs: what a subscription is at this moment, in our words."""
