"""The deployment's secrets, in AWS Secrets Manager, cached by Powertools for five minutes.

A value is one string, or a JSON list of up to three strings: during a rotation any of them
verifies, the first one signs. Values are never logged and never part of an error.
"""

import json
import time
from collections.abc import Callable
from typing import Final

import boto3
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.errors import Permanent, Transient

__all__ = ["SecretStore", "secret_store"]

_MAX_AGE: Final = 300
_REREAD: Final = 60.0
_MAX_VALUES: Final = 3
# Without a value yet, or scheduled for deletion: for us both mean that it is not there.
_ABSENT: Final = frozenset({"ResourceNotFoundException", "InvalidRequestException"})
_FORBIDDEN: Final = frozenset({"AccessDeniedException", "DecryptionFailure"})


class SecretStore:
    """Read secrets by their short names, e.g. `auth/clerk`, below the deployment's prefix.

    Raises:
        Transient: Secrets Manager does not answer.
        Permanent: the function may not read the secret, or its value has not the documented form.
    """

    def __init__(
        self,
        provider: SecretsProvider,
        prefix: str,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._prefix = prefix.rstrip("/")
        self._clock = clock
        self._read_at: dict[str, float] = {}
        self._absent: set[str] = set()

    def get(self, name: str) -> tuple[str, ...]:
        """Return the secret's values, none if there is no such secret; may be 5 minutes old."""
        if name in self._absent and not self._may_read(name):
            # a stranger's requests must not become calls to AWS one by one
            return ()
        return self._read(name, fresh=False)

    def refreshed(self, name: str) -> tuple[str, ...] | None:
        """Return the values read anew, at most once a minute; None if not, or nothing changed.

        Whoever just failed to verify something asks this, so that a rotated secret works at once.
        """
        if not self._may_read(name):
            return None
        before = self.get(name)
        after = self._read(name, fresh=True)
        return None if after == before else after

    def get_text(self, name: str) -> str:
        """Return the first value of a secret that must be there.

        Raises:
            Permanent: there is none; the reason says where to put it.
        """
        values = self.get(name)
        if not values:
            raise Permanent(f"put a value into the secret {self._prefix}/{name}")
        return values[0]

    def _may_read(self, name: str) -> bool:
        read_at = self._read_at.get(name)
        return read_at is None or self._clock() - read_at >= _REREAD

    def _read(self, name: str, *, fresh: bool) -> tuple[str, ...]:
        full = f"{self._prefix}/{name}"
        if fresh:
            self._read_at[name] = self._clock()
        try:
            raw = self._provider.get(full, max_age=_MAX_AGE, force_fetch=fresh)
        except GetParameterError as error:
            if not _is_absent(full, error):
                raise
            self._absent.add(name)
            self._read_at[name] = self._clock()
            return ()
        self._absent.discard(name)
        return _values(full, raw)


def _is_absent(full: str, error: GetParameterError) -> bool:
    # Powertools tells the cause in its text and, as the language does, in the context
    cause = error.__context__
    code = cause.response["Error"]["Code"] if isinstance(cause, ClientError) else ""
    if code in _ABSENT:
        return True
    if code in _FORBIDDEN:
        raise Permanent(f"let the function read the secret {full}: {code}") from cause
    what = code or type(cause).__name__
    raise Transient(f"Secrets Manager gave no answer about {full}: {what}") from cause


def _values(full: str, raw: object) -> tuple[str, ...]:
    form = Permanent(
        f"the secret {full} is neither a string nor a JSON list of at most {_MAX_VALUES} strings"
    )
    try:
        text = (raw.decode() if isinstance(raw, bytes) else str(raw)).strip()
        if not text.startswith(("[", "{")):
            return (text,) if text else ()
        values = json.loads(text)
    except ValueError:
        raise form from None
    if not isinstance(values, list) or len(values) > _MAX_VALUES:
        raise form
    if not all(isinstance(value, str) and value.strip() for value in values):
        raise form
    return tuple(value.strip() for value in values)


def secret_store(prefix: str) -> SecretStore:
    """Return the store of a deployment; region and endpoint come from the environment as ever."""
    # a webhook's sender waits a few seconds only: better to say "later" in time
    config = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2})
    client = boto3.client("secretsmanager", config=config)
    return SecretStore(SecretsProvider(boto3_client=client), prefix)
