"""Everything that is known of one tenant, for the operator who looks at it. Reads only."""

from dataclasses import dataclass

from shared.aws.table import Item
from shared.domain.backup import Backup, BackupStatus, Restore
from shared.domain.database import Database
from shared.domain.outlook import Circumstances, Outlook, outlook
from shared.domain.standing import Entitlement
from shared.domain.subscription import Subscription
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import aside
from shared.usecases.rights import rights_of

__all__ = ["Closeup", "tenant_closeup"]


@dataclass(frozen=True)
class Closeup:
    """Hold a tenant and what belongs to it; backups and receipts come the newest first.

    `aside` are databases of the tenant beside the one that it uses.
    """

    tenant: Tenant
    database: Database | None
    entitlement: Entitlement
    backups: tuple[Backup, ...]
    restore: Restore | None
    subscriptions: tuple[Subscription, ...]
    aside: tuple[Database, ...]
    receipts: tuple[Item, ...]
    outlook: Outlook

    @property
    def last_backup(self) -> Backup | None:
        """Return the newest backup that is proven, or None."""
        return newest_proven(self.backups)


def tenant_closeup(control: Control, tenant_id: str) -> Closeup:
    """Return all that is known of a tenant, each part read consistently.

    Raises:
        Permanent: there is no such tenant.
    """
    view = show_tenant(control, tenant_id)
    tenant, state = view.tenant, control.state
    rights = rights_of(control, tenant_id)
    entitlement = rights.of(tenant.episode)
    backups = tuple(state.backups_of(tenant_id))
    restore = state.restore(tenant.restore_id) if tenant.restore_id else None
    receipts = state.table.query(f"TENANT#{tenant_id}", prefix="RECEIPT#", newest_first=True)
    beside = tuple(aside(control, tenant))
    leaving = tenant.status is TenantStatus.CLOSING
    given = Circumstances(
        database=view.database,
        entitlement=entitlement,
        backup=_that_matters(tenant, backups),
        restore=restore,
        stopped=control.breaker.read().reason if leaving else None,
        access_settle=control.settings.access_settle,
        require_subscription=control.settings.require_subscription,
        aside=tuple(database.name for database in beside),
    )
    return Closeup(
        tenant=tenant,
        database=view.database,
        entitlement=entitlement,
        backups=backups,
        restore=restore,
        subscriptions=rights.book.subscriptions,
        aside=beside,
        receipts=tuple(receipts),
        outlook=outlook(tenant, given),
    )


def newest_proven(backups: tuple[Backup, ...]) -> Backup | None:
    """Return the first that is proven of backups that come the newest first."""
    proven = (backup for backup in backups if backup.status is BackupStatus.PROVEN)
    return next(proven, None)


def _that_matters(tenant: Tenant, backups: tuple[Backup, ...]) -> Backup | None:
    if tenant.status is TenantStatus.CLOSING:
        of_this = (b for b in backups if b.closing_id == tenant.closing_id)
        return next(of_this, None)
    return newest_proven(backups)
