"""Decide whether a request is well signed, with the secrets as they are configured now."""

from collections.abc import Mapping

from aws_lambda_powertools import Logger

from shared.webhooks.families import BadSignature, Family, MissingHeaders, Verified
from shared.webhooks.ports import Secrets

__all__ = ["NotConfigured", "verify_request"]


class NotConfigured(Exception):  # noqa: N818 - reads as what it says
    """Say that nobody can tell whether a request is genuine until an operator sets the secret."""


def verify_request(
    family: Family,
    secrets: Secrets,
    secret_name: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: float,
    logger: Logger,
) -> Verified:
    """Return how the request proved its sender. Header names are lower case, `now` is Unix time.

    When the proof fails, the secrets are read anew (at most once a minute) and it is tried again:
    they may have been rotated.

    Raises:
        MissingHeaders: the request does not even try.
        BadSignature: it is forged, stale or malformed.
        NotConfigured: there is no usable secret, or none matched and one is malformed.
        Transient: the secrets can't be read at the moment.
    """
    family.require(headers)

    def attempt(values: tuple[str, ...]) -> Verified:
        keys = family.keys(values)
        if keys.malformed:
            logger.error(
                "a webhook secret is malformed",
                extra={"secret": secret_name, "places": list(keys.malformed)},
            )
        if not keys.usable:
            raise NotConfigured(f"no usable secret in {secret_name}")
        try:
            return family.verify(keys, headers, body, now)
        except BadSignature as error:
            if keys.malformed:
                raise NotConfigured(f"a malformed secret in {secret_name}") from error
            raise

    try:
        return attempt(secrets.get(secret_name))
    except MissingHeaders:
        raise
    except (BadSignature, NotConfigured):
        fresh = secrets.refreshed(secret_name)
        if fresh is None:
            raise
        return attempt(fresh)
