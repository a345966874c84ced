"""What all verification families share: errors, keys, constant-time comparison."""

import hmac
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = [
    "MAX_SECRETS",
    "BadSignature",
    "Family",
    "Keys",
    "MissingHeaders",
    "Verified",
    "check_window",
    "load_keys",
    "match",
    "require",
    "text_key",
    "unix_time",
]

MAX_SECRETS = 3
_SECONDS = re.compile(r"[0-9]{1,12}")
_MILLISECONDS = re.compile(r"[0-9]{1,15}")
_TEXT_SECRET = re.compile(r"[\x20-\x7e]{6,512}")


class BadSignature(Exception):  # noqa: N818 - reads as what it says
    """Say that a request does not prove its sender; `reason` is for logs, not for the sender."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissingHeaders(BadSignature):
    """Say that the request lacks the headers that the proof is made of; `names` may be told."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"missing {', '.join(names)}")
        self.names = tuple(names)


@dataclass(frozen=True, slots=True)
class Keys:
    """Hold the keys made from the configured secrets.

    `usable` keeps each key's place in the configuration. `malformed` names the places of secrets
    that have not the provider's form: they are never turned into some other key, and while there
    is one, a signature that matches no key proves nothing about the sender.
    """

    usable: tuple[tuple[int, bytes], ...]
    malformed: tuple[int, ...] = ()

    def __repr__(self) -> str:
        # the default one would print the keys
        return f"Keys(usable={len(self.usable)}, malformed={self.malformed})"


@dataclass(frozen=True, slots=True)
class Verified:
    """Say which secret verified the request, counted from 0, and what else was signed.

    `sent_at` is the sender's clock in Unix seconds, `message_id` the id of the message; None in
    families that do not sign them.
    """

    secret_index: int
    sent_at: float | None = None
    message_id: str | None = None


class Family(Protocol):
    """Verify requests. Header names are lower case; `now` is in Unix seconds."""

    def keys(self, secrets: Sequence[str]) -> Keys:
        """Make keys of the configured secrets; never raises, see `Keys.malformed`."""
        ...

    def require(self, headers: Mapping[str, str]) -> None:
        """Raise `MissingHeaders` if the proof is not there at all; costs nothing."""
        ...

    def verify(self, keys: Keys, headers: Mapping[str, str], body: bytes, now: float) -> Verified:
        """Return how the request proved its sender.

        Raises:
            MissingHeaders: the proof is not there at all.
            BadSignature: it is malformed, stale, or made with another key.
        """
        ...


def load_keys(secrets: Sequence[str], decode: Callable[[str], bytes | None]) -> Keys:
    """Make keys with the family's `decode`, which returns None for a malformed secret.

    More secrets than a rotation needs are a mistake of configuration: the surplus is malformed.
    """
    decoded = [(i, decode(s) if i < MAX_SECRETS else None) for i, s in enumerate(secrets)]
    return Keys(
        usable=tuple((i, key) for i, key in decoded if key is not None),
        malformed=tuple(i for i, key in decoded if key is None),
    )


def text_key(secret: str) -> bytes | None:
    """Return the key of a secret that providers use as it is written."""
    if _TEXT_SECRET.fullmatch(secret) is None:
        return None
    return secret.encode("ascii")


def require(headers: Mapping[str, str], names: Iterable[str]) -> tuple[str, ...]:
    """Return the values of headers that must be there and say something.

    Raises:
        MissingHeaders: names of those that do not.
    """
    values = {name: headers.get(name, "").strip() for name in names}
    missing = [name for name, value in values.items() if not value]
    if missing:
        raise MissingHeaders(missing)
    return tuple(values.values())


def unix_time(text: str, *, milliseconds: bool = False) -> float:
    """Return a time stamp of a header in seconds; digits only, as `float()` takes far more.

    Raises:
        BadSignature: it is no such number.
    """
    pattern = _MILLISECONDS if milliseconds else _SECONDS
    if pattern.fullmatch(text) is None:
        raise BadSignature("time stamp is not an integer")
    return int(text) / 1000 if milliseconds else int(text)


def check_window(sent_at: float, now: float, tolerance: float) -> None:
    """Refuse what was signed more than `tolerance` seconds before or after now (that far is fine).

    A receiver's fraction of a second never makes an event stale that is so to the second.

    Raises:
        BadSignature: too old, or from the future.
    """
    age = int(now) - sent_at
    if age > tolerance:
        raise BadSignature("too old")
    if age < -tolerance:
        raise BadSignature("too new")


def match(
    keys: Keys, candidates: Sequence[bytes], expected: Callable[[bytes], bytes], what: str
) -> int:
    """Return the place of the first secret whose expected value is among the candidates.

    Every pair is compared, in constant time, so that the time taken tells nothing.

    Raises:
        BadSignature: none is; `what` names what was compared.
    """
    found: int | None = None
    for index, key in keys.usable:
        value = expected(key)
        same = [hmac.compare_digest(value, candidate) for candidate in candidates]
        if any(same) and found is None:
            found = index
    if found is None:
        raise BadSignature(f"no {what} matches any of {len(keys.usable)} secrets")
    return found
