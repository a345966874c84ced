"""What all records have in common: time stamps, versions, chains of delayed messages."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

__all__ = ["BadTransition", "Instant", "Record", "iso"]


def iso(moment: datetime) -> str:
    """Return a moment as ISO 8601 UTC of fixed width, so that text order is time order."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _aware(value: object) -> object:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError("a moment without a time zone means nothing here")
    return value


Instant = Annotated[
    datetime, BeforeValidator(_aware), PlainSerializer(iso, when_used="always", return_type=str)
]


class BadTransition(Exception):  # noqa: N818 - a bug, never an outcome
    """Say that code asked for a change that the lifecycle does not have."""


S = TypeVar("S", bound=StrEnum)


class Record(BaseModel):
    """Hold what every record of the state table has.

    `version` grows with every change of state and is the condition of the next one. `attempts`
    counts attempts that began and never wrote down how they ended; `failures` counts recorded
    failures in a row, for the backoff; `token` and `wake_at` belong to the one live chain of
    delayed messages.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    version: int = 1
    reason: str | None = None
    attempts: int = 0
    failures: int = 0
    token: str | None = None
    wake_at: Instant | None = None
    created_at: Instant
    updated_at: Instant
    status_since: Instant

    def _moved(
        self,
        to: S,
        now: datetime,
        allowed: Mapping[S, frozenset[S]],
        changes: Mapping[str, Any],
    ) -> Self:
        status: S = self.status  # type: ignore[attr-defined] # every kind of record has its own statuses
        if to not in allowed[status]:
            raise BadTransition(f"{type(self).__name__}: {status} does not become {to}")
        return self.changed(now, status=to, status_since=now, **changes)

    def changed(self, now: datetime, **changes: Any) -> Self:
        """Return the next version of the record; its chain of messages starts afresh."""
        fresh = {"attempts": 0, "failures": 0, "token": None, "wake_at": None}
        data = dict(self) | fresh | {"version": self.version + 1, "updated_at": now} | changes
        return type(self).model_validate(data)

    def noted(self, now: datetime, **changes: Any) -> Self:
        """Return the next version of the record with news that are no progress.

        Its live chain of messages goes on.
        """
        chain = {name: getattr(self, name) for name in ("attempts", "failures", "token", "wake_at")}
        return self.changed(now, **chain, **changes)
