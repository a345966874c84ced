"""Give a tenant a ready database: one transaction, so that two signups never get the same one."""

import logging
from collections.abc import Sequence
from typing import Final

from shared.aws.items import Change
from shared.aws.table import Write
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict
from shared.usecases.context import Control
from shared.usecases.rights import Rights, rights_of, settled

__all__ = ["CANDIDATES", "claim", "claim_changes"]

CANDIDATES: Final = 5

log = logging.getLogger("d1fleet")


def claim_changes(
    control: Control,
    before: Tenant | None,
    tenant: Tenant,
    database: Database,
    *,
    why: str,
    trace: str,
    rights: Rights | None = None,
) -> tuple[Tenant, list[Change]]:
    """Return the tenant with its database, and the changes that make it so.

    `tenant` is the pending tenant as it would be without a claim; `before` is what the table holds.
    It comes out as its `rights` (read here if not given) want it: one that is suspended gets its
    database and is not served.
    """
    now = control.now()
    step = tenant.moved(
        TenantStatus.ACTIVATING,
        now,
        database_ulid=database.ulid,
        database_id=database.database_id,
        database_name=database.name,
        binding=database.binding,
        shard=database.shard,
        schema_version=database.schema_version,
    )
    step = settled(control, step, rights or rights_of(control, tenant.tenant_id))
    given = database.moved(
        DatabaseStatus.CLAIMED, now, tenant_id=tenant.tenant_id, owner=tenant.tenant_id
    )
    changes = [
        Change(
            before,
            step,
            control.line(step.status, why=f"{why}; claimed {database.name}", trace=trace),
        ),
        Change(database, given, control.line("claimed", why="by a tenant", trace=trace)),
    ]
    return step, changes


def claim(
    control: Control,
    before: Tenant | None,
    tenant: Tenant,
    *,
    why: str,
    trace: str,
    also: Sequence[Write] = (),
    rights: Rights | None = None,
) -> Tenant | None:
    """Claim one of a few random ready databases; return the tenant, or None when none was left.

    Raises:
        Conflict: the tenant changed meanwhile, or a condition of `also` did not hold.
    """
    rights = rights or rights_of(control, tenant.tenant_id)
    for candidate in control.state.ready(tenant.class_, CANDIDATES):
        if candidate.status is not DatabaseStatus.READY or candidate.owner is not None:
            continue
        claimed, changes = claim_changes(
            control, before, tenant, candidate, why=why, trace=trace, rights=rights
        )
        try:
            control.state.commit(*changes, also=also)
        except Conflict as conflict:
            if conflict.condition.startswith("database"):
                log.info("another signup was quicker with a database")
                continue
            raise
        return claimed
    return None
