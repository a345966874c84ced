"""The breaker of deletes in the state table: one item that every delete passes.

Its change is a write of the very transaction in which a delete becomes possible, on the condition
that nobody changed it meanwhile: two functions can't take the last permit both.
"""

from datetime import datetime
from typing import Any, Final

from shared.aws.table import Condition, Item, Put, Table, Update
from shared.domain.breaker import WINDOW, Breaker, after_delete
from shared.domain.lifecycle import iso

__all__ = ["BreakerStore"]

_KEY: Final = {"pk": "BREAKER", "sk": "META"}


class BreakerStore:
    """Read and change the breaker."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def read(self) -> Breaker:
        """Return the breaker, read consistently."""
        item = self._table.get(**_KEY)
        return Breaker() if item is None else _breaker(item)

    @staticmethod
    def count(breaker: Breaker, now: datetime) -> Put:
        """Return the write that counts one more delete; it fails if the breaker has changed."""
        return _put(
            breaker,
            done=after_delete(breaker, now),
            reason=breaker.reason,
            opened_at=breaker.opened_at,
            allowed=breaker.allowed,
            allowed_until=breaker.allowed_until,
        )

    @staticmethod
    def open(breaker: Breaker, reason: str, now: datetime) -> Put:
        """Return the write that stops all deletes; it fails if the breaker has changed."""
        return _put(breaker, done=dict(breaker.done), reason=reason, opened_at=now)

    @staticmethod
    def reset(breaker: Breaker, allowed: int, now: datetime) -> Put:
        """Return the write with which a person confirms so many deletes for the next window."""
        return _put(breaker, done=dict(breaker.done), allowed=allowed, allowed_until=now + WINDOW)

    def note(self, what: str, now: datetime) -> int:
        """Count one more tenant that left (`closing`, `suspended`); return this hour's count."""
        hour = now.strftime("%Y-%m-%dT%H")
        item = self._table.write(
            Update(
                {"pk": "BREAKER", "sk": f"LEFT#{what}#{hour}"},
                "SET expires_at = :expires ADD #count :one",
                names={"#count": "count"},
                values={":expires": int((now + 2 * WINDOW).timestamp()), ":one": 1},
            )
        )
        return int((item or {}).get("count", 0))


def _put(breaker: Breaker, **state: Any) -> Put:
    item: Item = {**_KEY, "version": breaker.version + 1}
    for name, value in state.items():
        if value is not None:
            item[name] = iso(value) if isinstance(value, datetime) else value
    if breaker.version == 0:
        condition = Condition("breaker is as it was read", "attribute_not_exists(pk)")
    else:
        condition = Condition(
            "breaker is as it was read",
            "#version = :read",
            {"#version": "version"},
            {":read": breaker.version},
        )
    return Put(item, condition)


def _breaker(item: Item) -> Breaker:
    return Breaker(
        reason=item.get("reason"),
        opened_at=_moment(item.get("opened_at")),
        done={str(hour): int(count) for hour, count in item.get("done", {}).items()},
        allowed=int(item.get("allowed", 0)),
        allowed_until=_moment(item.get("allowed_until")),
        version=int(item["version"]),
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
