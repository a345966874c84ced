"""The state table as the use cases see it: records, their changes, chains of messages."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from shared.aws.items import (
    Change,
    backup_of,
    change_writes,
    database_of,
    key_of,
    restore_of,
    slot_of,
    tenant_of,
    worker_of,
)
from shared.aws.table import Condition, Item, Table, Update, Write
from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.lifecycle import Record, iso
from shared.domain.tenant import Tenant, TenantStatus
from shared.domain.worker import Slot, Worker
from shared.errors import Conflict

__all__ = ["State"]


class State:
    """Read and change the records of a fleet.

    Every method raises `Transient` when the table does not answer. `table` is open to the small
    stores beside this one (pools, outbox, fleet).
    """

    def __init__(self, table: Table) -> None:
        self.table = table

    # Reading

    def tenant(self, tenant_id: str) -> Tenant | None:
        """Return a tenant, read consistently, or None."""
        item = self.table.get(f"TENANT#{tenant_id}")
        return tenant_of(item) if item else None

    def database(self, ulid: str) -> Database | None:
        """Return a database, read consistently, or None."""
        item = self.table.get(f"DB#{ulid}")
        return database_of(item) if item else None

    def worker(self, script: str) -> Worker | None:
        """Return a pool Worker, read consistently, or None."""
        item = self.table.get(f"WORKER#{script}")
        return worker_of(item) if item else None

    def slots(self, script: str) -> list[Slot]:
        """Return every slot of a shard, read consistently."""
        return [slot_of(item) for item in self.table.query(f"WORKER#{script}", prefix="DB#")]

    def slot(self, script: str, ulid: str) -> Slot | None:
        """Return a database's slot on a shard, read consistently, or None."""
        item = self.table.get(f"WORKER#{script}", f"DB#{ulid}")
        return slot_of(item) if item else None

    def backup(self, backup_id: str) -> Backup | None:
        """Return a backup, read consistently, or None."""
        item = self.table.get(f"BACKUP#{backup_id}")
        return backup_of(item) if item else None

    def restore(self, restore_id: str) -> Restore | None:
        """Return a restore, read consistently, or None."""
        item = self.table.get(f"RESTORE#{restore_id}")
        return restore_of(item) if item else None

    def backups_of(self, tenant_id: str) -> list[Backup]:
        """Return every backup of a tenant, the newest first, read consistently."""
        pointers = self.table.query(f"TENANT#{tenant_id}", prefix="BACKUP#", newest_first=True)
        found = (self.backup(str(pointer["backup_id"])) for pointer in pointers)
        return [backup for backup in found if backup is not None]

    def restores_of(self, tenant_id: str) -> list[Restore]:
        """Return every restore of a tenant, the newest first, read consistently."""
        pointers = self.table.query(f"TENANT#{tenant_id}", prefix="RESTORE#", newest_first=True)
        found = (self.restore(str(pointer["restore_id"])) for pointer in pointers)
        return [restore for restore in found if restore is not None]

    def backups(
        self, status: BackupStatus, *, due_before: datetime | None = None, limit: int | None = None
    ) -> Iterator[Backup]:
        """Yield backups of a status, those that wait longest first. It is a hint."""
        for item in self._by_status(f"backup#{status}", due_before, limit):
            yield backup_of(item)

    def restores(
        self, status: RestoreStatus, *, due_before: datetime | None = None, limit: int | None = None
    ) -> Iterator[Restore]:
        """Yield restores of a status, those that wait longest first. It is a hint."""
        for item in self._by_status(f"restore#{status}", due_before, limit):
            yield restore_of(item)

    def tenants(
        self, status: TenantStatus, *, due_before: datetime | None = None, limit: int | None = None
    ) -> Iterator[Tenant]:
        """Yield tenants of a status, those that wait longest first. It is a hint."""
        for item in self._by_status(f"tenant#{status}", due_before, limit):
            yield tenant_of(item)

    def databases(
        self,
        class_: str,
        status: DatabaseStatus,
        *,
        due_before: datetime | None = None,
        limit: int | None = None,
    ) -> Iterator[Database]:
        """Yield databases of a class and status, those that wait longest first. It is a hint."""
        for item in self._by_status(f"database#{class_}#{status}", due_before, limit):
            yield database_of(item)

    def count_databases(
        self,
        class_: str,
        status: DatabaseStatus,
        *,
        since: datetime | None = None,
        limit: int = 100_000,
    ) -> int:
        """Count databases of a class and status, up to `limit`. It is a hint.

        With `since` only those that are on their way, or have this status, since then.
        """
        key = ("status_key", f"database#{class_}#{status}")
        sort = None if since is None else ("due", ">=", iso(since))
        return self.table.count_index("by_status", key, sort=sort, limit=limit)

    def count_tenants(self, status: TenantStatus, *, limit: int) -> int:
        """Count tenants of a status, up to `limit`. It is a hint."""
        return self.table.count_index("by_status", ("status_key", f"tenant#{status}"), limit=limit)

    def ready(self, class_: str, limit: int) -> list[Database]:
        """Return up to `limit` ready databases of a class from a random place on. It is a hint."""
        partition = ("ready_class", class_)
        start = secrets.token_hex(8)
        found = [
            *self.table.query_index(
                "ready", partition, sort=("ready_slot", ">=", start), limit=limit
            )
        ]
        if len(found) < limit:
            rest = limit - len(found)
            found += self.table.query_index(
                "ready", partition, sort=("ready_slot", "<", start), limit=rest
            )
        return [database_of(item) for item in found]

    def history(self, record: Record, *, limit: int | None = None) -> Iterator[Item]:
        """Yield the lines of a record's history, the newest first."""
        yield from self.table.query(key_of(record)[0], prefix="H#", limit=limit, newest_first=True)

    def _by_status(
        self, key: str, due_before: datetime | None, limit: int | None
    ) -> Iterator[Item]:
        sort = None if due_before is None else ("due", "<", iso(due_before))
        yield from self.table.query_index("by_status", ("status_key", key), sort=sort, limit=limit)

    # Changing

    def commit(self, *changes: Change, also: Sequence[Write] = ()) -> None:
        """Write changes, their history and whatever goes with them, all or nothing.

        Raises:
            Conflict: with the name of the first condition that did not hold.
        """
        writes: list[Write] = []
        for change in changes:
            writes += change_writes(change)
        self.table.transact([*writes, *also])

    # Chains of messages (one an entity)
    #
    #   message ─▶ begin: attempts + 1 ─▶ act ─▶ commit (a step made; chain reset)
    #                    │                  └─▶ postpone: new token, wake_at ─▶ delayed message
    #                    └─ stale token, settled, unknown or busy: acknowledged silently

    def begin(
        self,
        kind: str,
        id_: str,
        token: str | None,
        now: datetime,
        *,
        busy: timedelta | None = None,
    ) -> Item | None:
        """Write down that an attempt begins; return the item as it now is.

        None means that there is nothing to attempt: the record is unknown or settled, or another
        chain than the message's is the live one. `busy` is for long work, which two must not do at
        once: nobody else begins before it has passed or the attempt wrote down how it ended, and
        the sweep leaves the record alone as long.
        """
        expression = "attribute_exists(unsettled)"
        values: dict[str, Any] = {}
        names: dict[str, str] = {}
        change = "SET due = :due"
        if busy is not None:
            change += ", busy_until = :due"
            expression += " AND (attribute_not_exists(busy_until) OR busy_until < :now)"
            values[":now"] = iso(now)
        if token is not None:
            # No token in the record: a step was made, and this message is as good as any other.
            expression += " AND (attribute_not_exists(#token) OR #token = :token)"
            names["#token"], values[":token"] = "token", token
        try:
            return self.table.write(
                Update(
                    {"pk": f"{kind}#{id_}", "sk": "META"},
                    f"{change} ADD attempts :one",
                    values={":due": iso(now + (busy or timedelta())), ":one": 1},
                    condition=Condition("the chain is live", expression, names, values),
                )
            )
        except Conflict:
            return None

    def postpone(
        self, record: Record, *, wake_at: datetime, failures: int, **fields: Any
    ) -> str | None:
        """Write down that the live attempt waits; return the token of its next message.

        None means that somebody else moved the record meanwhile: nothing is to be continued.
        """
        token = secrets.token_hex(8)
        pk, sk = key_of(record)
        names = {"#token": "token"}
        values: dict[str, Any] = {
            ":token": token,
            ":wake": iso(wake_at),
            ":failures": failures,
            ":zero": 0,
        }
        extra = ""
        for number, (name, value) in enumerate(fields.items()):
            names[f"#f{number}"] = name
            values[f":f{number}"] = value
            extra += f", #f{number} = :f{number}"
        condition = Condition(
            "the record is as it was read",
            "#version = :read AND attribute_exists(unsettled)",
            {"#version": "version"},
            {":read": record.version},
        )
        expression = (
            "SET #token = :token, wake_at = :wake, due = :wake, failures = :failures,"
            f" attempts = :zero{extra} REMOVE busy_until"
        )
        try:
            self.table.write(Update({"pk": pk, "sk": sk}, expression, names, values, condition))
        except Conflict:
            return None
        return token
