"""Ask for a backup: a record that the backup function works on. Light: it needs no SQLite."""

from shared.aws.items import Change, new_ulid
from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.database import Database
from shared.domain.tenant import Tenant
from shared.errors import Conflict
from shared.usecases.context import Control, enqueue_quietly

__all__ = ["request_backup"]


def request_backup(
    control: Control,
    tenant: Tenant,
    database: Database,
    *,
    because: BackupReason,
    closing_id: str | None = None,
    block: bool = False,
    trace: str = "",
) -> Backup:
    """Write down that a backup is wanted, and wake who makes it; return the backup.

    One that is wanted already, of this database and for the same closing, is that one. `block`
    allows to keep the database from answering meanwhile.

    Raises:
        Conflict: the database is not its tenant's.
    """
    if database.owner != tenant.tenant_id:
        raise Conflict("database is its tenant's")
    now = control.now()
    for known in control.state.backups_of(tenant.tenant_id):
        same = (known.database_ulid, known.closing_id) == (database.ulid, closing_id)
        if known.status is BackupStatus.WANTED and same and known.block >= block:
            enqueue_quietly(control, "backup", known.backup_id, trace=trace)
            return known
    backup = Backup(
        backup_id=new_ulid(now),
        tenant_id=tenant.tenant_id,
        status=BackupStatus.WANTED,
        because=because,
        database_ulid=database.ulid,
        closing_id=closing_id,
        block=block,
        created_at=now,
        updated_at=now,
        status_since=now,
    )
    line = control.line("backup wanted", why=str(because), trace=trace)
    control.state.commit(Change(None, backup, line))
    enqueue_quietly(control, "backup", backup.backup_id, trace=trace)
    return backup
