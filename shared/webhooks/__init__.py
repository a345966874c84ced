"""Webhooks: whether a request is well signed, and what its event means.

`families` verify, `auth` and `billing` understand the providers' events, `documents` and `parsing`
read what a stranger wrote, `door` is what the doors have in common, `ports` is what they ask of the
rest.
"""
