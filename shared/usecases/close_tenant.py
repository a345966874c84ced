"""The end of a tenant: its tombstone, a receipt of what was deleted, the word to the event bus."""

from shared.aws.items import Change, new_ulid
from shared.aws.table import Put
from shared.domain.backup import Backup
from shared.domain.database import Database
from shared.domain.lifecycle import iso
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.lifecycle_events import lifecycle_event

__all__ = ["close_changes", "receipt_put"]


def close_changes(
    control: Control, tenant: Tenant, database: Database | None, *, trace: str, why: str
) -> tuple[Change, Put, Put]:
    """Return what closes a tenant: its own change, the event, and the erasure receipt.

    `database` is the one that was deleted, None when there was none.
    """
    now = control.now()
    # A restore that was under way is nobody's any more.
    after = tenant.moved(TenantStatus.CLOSED, now, restore_id=None)
    final = tenant.final_backup_id
    backup = control.state.backup(final) if final is not None else None
    line = control.line("closed", why=why, trace=trace)
    event = lifecycle_event(
        control,
        "TenantClosed",
        after,
        trace=trace,
        reason=tenant.reason,
        backup_id=final,
        backup_until=backup.keep_until if backup else None,
    )
    return Change(tenant, after, line), event, receipt_put(control, tenant, database, backup)


def receipt_put(
    control: Control, tenant: Tenant, database: Database | None, backup: Backup | None
) -> Put:
    """Return the write of an erasure receipt: what was deleted, when, on whose word."""
    now = control.now()
    ulid = new_ulid(now)
    receipt = {
        "receipt_id": ulid,
        "tenant_id": tenant.tenant_id,
        "episode": tenant.episode,
        "closed_at": iso(now),
        "on_whose_word": tenant.reason,
        "database_name": database.name if database else None,
        "database_id": database.database_id if database else None,
        "without_backup": tenant.without_backup,
        "backup_id": backup.backup_id if backup else None,
        "backup_sha256": backup.sha256 if backup else None,
        "backup_until": iso(backup.keep_until) if backup and backup.keep_until else None,
    }
    kept = {name: value for name, value in receipt.items() if value is not None}
    return Put({"pk": f"TENANT#{tenant.tenant_id}", "sk": f"RECEIPT#{ulid}", **kept})
