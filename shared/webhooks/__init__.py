"""Webhooks: whether a request is well signed, and what its event means.

`families` verify, `auth` understands the auth providers' events, `documents` reads JSON that a
stranger wrote, `ports` is what the doors ask of the rest.
"""
