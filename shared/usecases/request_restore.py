"""Ask for a restore: its record, and that of the fresh database, before anything is created."""

from typing import Any

from shared.aws.items import Change, new_ulid, slot_put
from shared.aws.pools import Pools
from shared.aws.table import Write
from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.names import binding_name, database_name
from shared.domain.tenant import Tenant
from shared.domain.worker import Slot
from shared.errors import Permanent
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.refill_pool import shard_with_room

__all__ = ["request_restore"]


def request_restore(
    control: Control,
    tenant: Tenant,
    backup: Backup,
    *,
    waiting: Tenant | None = None,
    replaces: str | None = None,
    trace: str = "",
) -> Restore:
    """Write down that a backup is wanted in a fresh database, and wake who does it.

    `waiting` is the tenant as it waits for it (its `restore_id` is set here); without it the
    database is detached: nobody waits, it is there to be looked at. `replaces` is the database that
    the tenant has until then.

    Raises:
        Permanent: the backup is another tenant's, or was not proven.
        Conflict: the tenant was changed meanwhile, or the shard has filled up: ask again.
    """
    if backup.tenant_id != tenant.tenant_id or backup.status is not BackupStatus.PROVEN:
        raise Permanent(f"backup {backup.backup_id} is no proven one of {tenant.tenant_id}")
    now = control.now()
    times = {"created_at": now, "updated_at": now, "status_since": now}
    ulid = new_ulid(now)
    room = shard_with_room(control, trace)
    # Born owned: whatever becomes of this restore, nobody else ever gets the database.
    database = Database(
        ulid=ulid,
        name=database_name(control.settings.fleet, ulid),
        status=DatabaseStatus.IMPORTING,
        class_=tenant.class_,
        shard=room.script,
        tenant_id=tenant.tenant_id,
        owner=tenant.tenant_id,
        **times,
    )
    restore = Restore(
        restore_id=new_ulid(now),
        backup_id=backup.backup_id,
        tenant_id=tenant.tenant_id,
        status=RestoreStatus.WANTED,
        database_ulid=ulid,
        replaces=replaces,
        detached=waiting is None,
        **times,
    )
    line = control.line("restore wanted", why=f"backup {backup.backup_id}", trace=trace)
    changes = [Change(None, database, line), Change(None, restore, line)]
    writes: list[Write] = []
    if waiting is not None:
        waits: dict[str, Any] = dict(waiting) | {"restore_id": restore.restore_id}
        changes.append(Change(tenant, type(waiting).model_validate(waits), line))
        writes += [
            Pools.take_slots(room.script, 1, control.settings.shard_capacity),
            slot_put(room.script, Slot(ulid=ulid, binding=binding_name(ulid))),
        ]
    control.state.commit(*changes, also=writes)
    enqueue_quietly(control, "restore", restore.restore_id, trace=trace)
    return restore
