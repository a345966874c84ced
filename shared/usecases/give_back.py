"""Give a database that holds a restored backup back to the tenant whose data it is."""

from typing import Final

from shared.aws.items import Change
from shared.domain.database import Database, DatabaseStatus
from shared.domain.outcomes import Done, GaveUp, Outcome
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.rights import rights_of, settled

__all__ = ["NOBODY_WAITS", "give_back"]

NOBODY_WAITS: Final = "its tenant does not wait for this restore any more"


def give_back(control: Control, database: Database, head: str, trace: str) -> Outcome:
    """Make a restored database, bound and migrated by now, its owner's again.

    Raises:
        Conflict: the tenant or the database was moved by somebody else meanwhile.
    """
    now = control.now()
    tenant = control.state.tenant(database.owner or "")
    if tenant is None or not _waits_for(control, tenant, database):
        kept = database.moved(
            DatabaseStatus.QUARANTINED, now, reason=NOBODY_WAITS, retry_as=DatabaseStatus.MIGRATING
        )
        line = control.line("quarantined", why=NOBODY_WAITS, trace=trace)
        control.state.commit(Change(database, kept, line))
        return GaveUp(NOBODY_WAITS)
    given = database.moved(
        DatabaseStatus.CLAIMED, now, tenant_id=tenant.tenant_id, schema_version=head, reason=None
    )
    back = tenant.moved(
        TenantStatus.ACTIVATING,
        now,
        database_ulid=database.ulid,
        database_id=database.database_id,
        database_name=database.name,
        binding=database.binding,
        shard=database.shard,
        schema_version=head,
        restore_id=None,
        final_backup_id=None,
        returning="restored",
        reason=None,
    )
    # Billing may have said meanwhile that it is not to be served.
    back = settled(control, back, rights_of(control, tenant.tenant_id))
    line = control.line("restored", why=f"into {database.name}", trace=trace)
    control.state.commit(Change(database, given, line), Change(tenant, back, line))
    enqueue_quietly(control, "tenant", tenant.tenant_id, trace=trace)
    return Done()


def _waits_for(control: Control, tenant: Tenant, database: Database) -> bool:
    if tenant.status is not TenantStatus.PENDING or tenant.restore_id is None:
        return False
    restore = control.state.restore(tenant.restore_id)
    return restore is not None and restore.database_ulid == database.ulid
