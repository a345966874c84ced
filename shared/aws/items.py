"""How records become items of the table and come back. Keys and indexes are written here, once.

The table's layout is drawn in docs/architecture.md, "The table".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from ulid import ULID

from shared.aws.table import Check, Condition, Delete, Item, Put, Update
from shared.domain.backup import Backup, BackupStatus, Restore
from shared.domain.database import UNSETTLED_DATABASE, Database, DatabaseStatus
from shared.domain.lifecycle import Record, iso
from shared.domain.tenant import Tenant
from shared.domain.worker import Slot, Worker

__all__ = [
    "HISTORY_KEPT",
    "INBOX_KEPT",
    "Change",
    "HistoryLine",
    "backup_is_proven",
    "backup_of",
    "change_writes",
    "database_of",
    "inbox_key",
    "inbox_put",
    "key_of",
    "line_put",
    "new_ulid",
    "outbox_put",
    "restore_of",
    "slot_free",
    "slot_of",
    "slot_put",
    "slot_update",
    "tenant_of",
    "worker_of",
]

HISTORY_KEPT: Final = timedelta(days=400)
INBOX_KEPT: Final = timedelta(days=45)


def new_ulid(now: datetime) -> str:
    """Return a ULID of this moment: 26 characters, sorted by time, random in the rest."""
    return str(ULID.from_datetime(now))


@dataclass(frozen=True)
class HistoryLine:
    """Say who changed what, why, and by which call to whom."""

    at: datetime
    who: str
    what: str
    why: str = ""
    call: str = ""
    trace: str = ""


@dataclass(frozen=True)
class Change:
    """One record's step from `before` (None: it is new) to `after`, with its line of history."""

    before: Record | None
    after: Record
    line: HistoryLine | None = None


def key_of(record: Record) -> tuple[str, str]:
    """Return a record's key: partition, sort."""
    match record:
        case Tenant():
            return f"TENANT#{record.tenant_id}", "META"
        case Database():
            return f"DB#{record.ulid}", "META"
        case Worker():
            return f"WORKER#{record.script}", "META"
        case Backup():
            return f"BACKUP#{record.backup_id}", "META"
        case Restore():
            return f"RESTORE#{record.restore_id}", "META"
        case _:
            raise TypeError(f"{type(record).__name__} has no place in the table")


def _kind(record: Record) -> str:
    return type(record).__name__.lower()


def _indexes(record: Record) -> Item:
    """Return the attributes by which the indexes and the sweep find a record."""
    due = record.wake_at or record.updated_at
    match record:
        case Tenant():
            status_key, unsettled = f"tenant#{record.status}", not record.settled
        case Database():
            status_key = f"database#{record.class_}#{record.status}"
            unsettled = record.status in UNSETTLED_DATABASE
        case Backup() | Restore():
            status_key, unsettled = f"{_kind(record)}#{record.status}", not record.settled
        case _:
            return {}
    found: Item = {"status_key": status_key, "due": iso(due if unsettled else record.status_since)}
    if unsettled:
        found["unsettled"] = True
    if isinstance(record, Database) and record.status is DatabaseStatus.READY:
        found["ready_class"] = record.class_
        # Spread: claims start at a random place, so that two signups rarely want the same one.
        found["ready_slot"] = hashlib.sha256(record.ulid.encode()).hexdigest()[:16]
    return found


def _item(record: Record) -> Item:
    pk, sk = key_of(record)
    data = record.model_dump(by_alias=True, exclude_none=True)
    return {"pk": pk, "sk": sk, **data, **_indexes(record)}


def tenant_of(item: Item) -> Tenant:
    """Return the tenant in an item."""
    return Tenant.model_validate(item)


def database_of(item: Item) -> Database:
    """Return the database in an item."""
    return Database.model_validate(item)


def worker_of(item: Item) -> Worker:
    """Return the pool Worker in an item."""
    return Worker.model_validate(item)


def backup_of(item: Item) -> Backup:
    """Return the backup in an item."""
    return Backup.model_validate(item)


def restore_of(item: Item) -> Restore:
    """Return the restore in an item."""
    return Restore.model_validate(item)


def slot_of(item: Item) -> Slot:
    """Return the slot in an item."""
    return Slot.model_validate(item)


def slot_put(shard: str, slot: Slot) -> Put:
    """Return the write of a slot."""
    data = slot.model_dump(exclude_none=True)
    return Put({"pk": f"WORKER#{shard}", "sk": f"DB#{slot.ulid}", **data})


def slot_update(shard: str, ulid: str, *, expected: Mapping[str, Any], **fields: Any) -> Update:
    """Return the write of some of a slot's fields; None removes one.

    It fails when the slot is not there or its `expected` fields (None: absent) are others by now:
    the publisher and whoever moves the database write to the same slot.
    """
    names: dict[str, str] = {}
    values: dict[str, Any] = {}
    holds = ["attribute_exists(pk)"]
    for number, (name, value) in enumerate(expected.items()):
        names[f"#e{number}"] = name
        if value is None:
            holds.append(f"attribute_not_exists(#e{number})")
        else:
            values[f":e{number}"] = value
            holds.append(f"#e{number} = :e{number}")
    sets: list[str] = []
    removes: list[str] = []
    for number, (name, value) in enumerate(fields.items()):
        names[f"#f{number}"] = name
        if value is None:
            removes.append(f"#f{number}")
        else:
            values[f":f{number}"] = value
            sets.append(f"#f{number} = :f{number}")
    changes = [
        f"SET {', '.join(sets)}" if sets else "",
        f"REMOVE {', '.join(removes)}" if removes else "",
    ]
    return Update(
        {"pk": f"WORKER#{shard}", "sk": f"DB#{ulid}"},
        " ".join(filter(None, changes)),
        names,
        values,
        Condition("slot is as it was read", " AND ".join(holds)),
    )


def slot_free(shard: str, ulid: str) -> Delete:
    """Return the write that removes the slot of a database that was seen gone."""
    return Delete(
        {"pk": f"WORKER#{shard}", "sk": f"DB#{ulid}"},
        Condition("slot was seen gone", "gone = :true", values={":true": True}),
    )


def change_writes(change: Change) -> list[Put]:
    """Return the writes of one change: the record on its condition, and its line of history."""
    kind = _kind(change.after)
    if change.before is None:
        condition = Condition(f"{kind} is new", "attribute_not_exists(pk)")
    else:
        condition = Condition(
            f"{kind} is as it was read",
            "#version = :read",
            {"#version": "version"},
            {":read": change.before.version},
        )
    writes = [Put(_item(change.after), condition)]
    if change.before is None and isinstance(change.after, Backup | Restore):
        # So that one query finds a tenant's backups, or restores; the record is never copied.
        writes.append(_pointer_put(change.after))
    if change.line is not None:
        writes.append(line_put(key_of(change.after)[0], change.line))
    return writes


def _pointer_put(work: Backup | Restore) -> Put:
    key = {"pk": f"TENANT#{work.tenant_id}", "sk": key_of(work)[0]}
    if isinstance(work, Backup):
        return Put({**key, "backup_id": work.backup_id})
    return Put({**key, "restore_id": work.restore_id})


def backup_is_proven(backup: Backup) -> Check:
    """Return the write that holds a transaction to a backup still being proven, as it was read."""
    pk, sk = key_of(backup)
    condition = Condition(
        "backup is proven",
        "#status = :proven AND #version = :read",
        {"#status": "status", "#version": "version"},
        {":proven": BackupStatus.PROVEN, ":read": backup.version},
    )
    return Check({"pk": pk, "sk": sk}, condition)


def line_put(pk: str, line: HistoryLine) -> Put:
    """Return the write of a line of history about whatever has this partition."""
    text = {
        name: value
        for name, value in (
            ("who", line.who),
            ("what", line.what),
            ("why", line.why),
            ("call", line.call),
            ("trace", line.trace),
        )
        if value
    }
    expires = int((line.at + HISTORY_KEPT).timestamp())
    sk = f"H#{new_ulid(line.at)}"
    return Put({"pk": pk, "sk": sk, "at": iso(line.at), **text, "expires_at": expires})


def inbox_key(provider: str, mode: str, event_id: str) -> str:
    """Return the partition of a webhook event's inbox row.

    An id that is too long for a key, or strange, is hashed: senders choose it, DynamoDB takes
    2,048 bytes.
    """
    if len(event_id) > 200:
        event_id = "sha256:" + hashlib.sha256(event_id.encode()).hexdigest()
    return f"INBOX#{provider}#{mode}#{event_id}"


def inbox_put(key: str, now: datetime, data: Mapping[str, Any]) -> Put:
    """Return the write that makes an event seen; it fails when it was seen before."""
    item = {
        "pk": key,
        "sk": "META",
        "received_at": iso(now),
        "expires_at": int((now + INBOX_KEPT).timestamp()),
        **{name: value for name, value in data.items() if value is not None},
    }
    return Put(item, Condition("event is new", "attribute_not_exists(pk)"))


def outbox_put(now: datetime, kind: str, detail_type: str, detail: Mapping[str, Any]) -> Put:
    """Return the write of an event or alert to send, with a stable id of its own.

    `kind` is `event` (the event bus) or `alert` (the topic).
    """
    ulid = new_ulid(now)
    return Put(
        {
            "pk": "OUTBOX",
            "sk": ulid,
            "kind": kind,
            "detail_type": detail_type,
            "detail": {**detail, "id": ulid},
            "created_at": iso(now),
        }
    )
