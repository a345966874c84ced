"""The pool of a class, and the shards' counters: who may refill, where there is room.

A refill holds a lease, so that there is one at a time per class. Whoever wants one while it is
held raises `wanted`; the holder looks again before it lets go.
"""

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from shared.aws.table import Condition, Put, Table, Update
from shared.domain.lifecycle import iso
from shared.errors import Conflict

__all__ = ["Blocked", "Lease", "Pools", "ShardRoom"]

LEASE: Final = timedelta(seconds=45)


@dataclass(frozen=True)
class Blocked:
    """Say why no database of a class can be made, and since when."""

    reason: str
    since: datetime


@dataclass(frozen=True)
class Lease:
    """Hold the right to refill a class; `wanted` is how often it was asked for, as last read.

    `inherited` says that the last one who had it never let go: it was killed at its work.
    """

    class_: str
    token: str
    wanted: int
    recent: tuple[str, ...]
    inherited: bool = False


@dataclass(frozen=True)
class ShardRoom:
    """Say how many slots of a shard are taken."""

    script: str
    number: int
    used: int


class Pools:
    """Read and change what is shared by all refills."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def ask(self, class_: str) -> None:
        """Say that a refill is wanted; the one under way, if any, looks again."""
        self._table.write(
            Update(self._key(class_), "ADD wanted :one", values={":one": 1}),
        )

    def lease(self, class_: str, now: datetime) -> Lease | None:
        """Take the right to refill, or return None when another refill has it."""
        token = secrets.token_hex(8)
        free = Condition(
            "no refill is under way",
            "attribute_not_exists(lease_until) OR lease_until < :now",
            values={":now": iso(now)},
        )
        try:
            item = self._table.write(
                Update(
                    self._key(class_),
                    "SET lease_until = :until, lease_token = :token,"
                    " lease_before = if_not_exists(lease_token, :nobody)",
                    values={":until": iso(now + LEASE), ":token": token, ":nobody": ""},
                    condition=free,
                )
            )
        except Conflict:
            return None
        data = item or {}
        return Lease(
            class_,
            token,
            wanted=int(data.get("wanted", 0)),
            recent=tuple(data.get("recent", ())),
            inherited=data.get("lease_before", "") != "",
        )

    def release(
        self, lease: Lease, recent: Sequence[str], looked_at: datetime | None = None
    ) -> bool:
        """Let go of the right to refill; False says that one more round is wanted first.

        `recent` are databases that the indexes may not show yet; `looked_at` is when the last look
        began, if it found nothing more to do.
        """
        mine = Condition(
            "the lease is ours and nobody asked meanwhile",
            "lease_token = :token AND (wanted = :wanted OR attribute_not_exists(wanted))",
            values={":token": lease.token, ":wanted": lease.wanted},
        )
        change = "SET recent = :recent"
        values: dict[str, Any] = {":recent": list(recent)}
        if looked_at is not None:
            change += ", looked_at = :looked"
            values[":looked"] = iso(looked_at)
        try:
            self._table.write(
                Update(
                    self._key(lease.class_),
                    f"{change} REMOVE lease_until, lease_token",
                    values=values,
                    condition=mine,
                )
            )
        except Conflict:
            return False
        return True

    def let_go(self, lease: Lease, recent: Sequence[str]) -> None:
        """Let go of the right to refill though more is wanted: another message goes on."""
        mine = Condition("the lease is ours", "lease_token = :token")
        update = Update(
            self._key(lease.class_),
            "SET recent = :recent REMOVE lease_until, lease_token",
            values={":recent": list(recent), ":token": lease.token},
            condition=mine,
        )
        with suppress(Conflict):  # it ran out, and somebody else has it
            self._table.write(update)

    def wanted(self, lease: Lease) -> Lease:
        """Return the lease with the present count of askers."""
        item = self._table.get(f"POOL#{lease.class_}") or {}
        return replace(lease, wanted=int(item.get("wanted", 0)))

    def looked_at(self, class_: str) -> datetime | None:
        """Return when the last look that found nothing more to do began, or None."""
        item = self._table.get(f"POOL#{class_}") or {}
        return datetime.fromisoformat(str(item["looked_at"])) if "looked_at" in item else None

    def block(self, class_: str, reason: str, now: datetime) -> None:
        """Write down why no database of a class can be made."""
        self._table.write(
            Update(
                self._key(class_),
                "SET blocked_reason = :reason, blocked_since = :now",
                values={":reason": reason, ":now": iso(now)},
            )
        )

    def unblock(self, class_: str) -> None:
        """Write down that databases of a class can be made again."""
        self._table.write(Update(self._key(class_), "REMOVE blocked_reason, blocked_since"))

    def blocked(self, class_: str) -> Blocked | None:
        """Return why no database of a class can be made, or None."""
        item = self._table.get(f"POOL#{class_}") or {}
        if "blocked_reason" not in item:
            return None
        since = datetime.fromisoformat(str(item["blocked_since"]))
        return Blocked(str(item["blocked_reason"]), since)

    # Room on shards: one small item for each shard, all in one partition, read consistently

    def shards(self) -> list[ShardRoom]:
        """Return every shard of the fleet and how full it is, in their order."""
        found = [
            ShardRoom(str(item["sk"]), int(item["number"]), int(item.get("used", 0)))
            for item in self._table.query("SHARDS")
        ]
        return sorted(found, key=lambda room: room.number)

    @staticmethod
    def new_shard(script: str, number: int) -> Put:
        """Return the write that makes a shard known, once."""
        return Put(
            {"pk": "SHARDS", "sk": script, "number": number, "used": 0},
            Condition("shard is new", "attribute_not_exists(pk)"),
        )

    @staticmethod
    def take_slots(script: str, count: int, capacity: int) -> Update:
        """Return the write that takes slots of a shard, if there is room."""
        room = Condition("the shard has room", "used <= :room", values={":room": capacity - count})
        return Update(
            {"pk": "SHARDS", "sk": script},
            "ADD used :count",
            values={":count": count},
            condition=room,
        )

    @staticmethod
    def give_slot(script: str) -> Update:
        """Return the write that gives a slot of a shard back."""
        return Update(
            {"pk": "SHARDS", "sk": script},
            "ADD used :less",
            values={":less": -1},
            condition=Condition(
                "the shard has a slot to give back", "used > :zero", values={":zero": 0}
            ),
        )

    @staticmethod
    def _key(class_: str) -> dict[str, Any]:
        return {"pk": f"POOL#{class_}", "sk": "META"}
