"""Erase what is left of a closed tenant, for the law. Called by the CLI, on a typed word.

Its backups go, every version of them, its history, what billing said and its name. What stays: the
opaque id, so that no late event brings it back, and a receipt that names nobody. The receipt is
written first, so that whoever is killed half-way and asks again ends in the same place.
"""

import logging
from dataclasses import dataclass
from typing import Final

from shared.aws.backups import BackupStore
from shared.aws.erasures import ErasureStore
from shared.aws.items import Change, new_ulid
from shared.domain.backup import Backup, BackupStatus
from shared.domain.database import DatabaseStatus
from shared.domain.erasure import (
    ErasedBackup,
    ErasedDatabase,
    Erasure,
    emptied,
    tenant_hash,
    tombstone,
)
from shared.domain.names import ulid_of_database
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.context import Control
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import DROPPABLE, aside

__all__ = ["EraseTenant"]

RACES: Final = 5

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class EraseTenant:
    """Erase tenants."""

    control: Control
    store: BackupStore

    def __call__(self, tenant_id: str) -> Erasure:
        """Erase a closed tenant and return the receipt; asked again, the receipt is the same.

        Raises:
            Permanent: it is not closed, or something of it is still on D1.
            Transient: somebody does not answer; ask again.
        """
        tenant = self._closed(tenant_id)
        receipt = self._begun(tenant)
        for _ in range(RACES):
            try:
                removed = self._erase(tenant, receipt)
            except Conflict as conflict:
                log.info("lost a race for %s, reading again", conflict.condition)
                tenant = self._closed(tenant_id)
                continue
            if receipt.erased_at is None or removed:
                now = self.control.now()
                receipt = receipt.model_copy(update={"erased_at": now})
                self._erasures.keep(receipt)
            return receipt
        raise Transient(f"{tenant_id} is contended: try again", retry_after=1)

    @property
    def _erasures(self) -> ErasureStore:
        return ErasureStore(self.control.state.table)

    def _closed(self, tenant_id: str) -> Tenant:
        """Return the tenant if there is nothing of it but what an erasure removes."""
        control = self.control
        view = show_tenant(control, tenant_id)
        tenant, database = view.tenant, view.database
        if tenant.status is not TenantStatus.CLOSED:
            raise Permanent(
                f"{tenant_id} is {tenant.status}: `d1fleet tenants close {tenant_id}` first"
            )
        if not tenant.settled:
            raise Transient(f"{tenant_id} is still being taken out of the directory: try again")
        left = list(aside(control, tenant))
        if database is not None and database.status is not DatabaseStatus.DELETED:
            left.append(database)
        if left:
            names = ", ".join(each.name for each in left)
            how = (
                f"`d1fleet restore {tenant_id} --drop {left[0].name}` first"
                if left[0].status in DROPPABLE
                else f"it is {left[0].status}: wait until it is there, then drop it"
            )
            raise Permanent(f"{names} is still there with data of {tenant_id}: {how}")
        if not all(backup.settled for backup in control.state.backups_of(tenant_id)):
            raise Permanent(f"a backup of {tenant_id} is being made: see `d1fleet backups`")
        return tenant

    def _begun(self, tenant: Tenant) -> Erasure:
        """Return the receipt, written down with all that is found now."""
        control, now = self.control, self.control.now()
        name = tenant_hash(control.fleet.get().uid, tenant.tenant_id)
        known = self._erasures.receipt(name, tenant.episode)
        before = known or Erasure(
            receipt_id=new_ulid(now), tenant_hash=name, episode=tenant.episode, begun_at=now
        )
        databases = tuple(
            ErasedDatabase.model_validate(item)
            for item in self._erasures.closing_receipts(tenant.tenant_id)
            if "database_name" in item
        )
        backups = tuple(
            ErasedBackup(backup_id=each.backup_id, created_at=each.created_at)
            for each in control.state.backups_of(tenant.tenant_id)
            if each.status is not BackupStatus.ERASED
        )
        receipt = before.with_more(databases, backups)
        if known is None or receipt is not before:
            self._erasures.keep(receipt)
        return receipt

    def _erase(self, tenant: Tenant, receipt: Erasure) -> int:
        """Remove everything, what leads to the rest last; return how much was removed."""
        control, erasures = self.control, self._erasures
        backups = control.state.backups_of(tenant.tenant_id)
        removed = sum(self._erase_backup(backup) for backup in backups)
        restores = control.state.restores_of(tenant.tenant_id)
        ulids = self._ulids(tenant, receipt, backups) | {each.database_ulid for each in restores}
        for ulid in ulids:
            # Whatever an attempt that was cut off has left lies there too.
            removed += self.store.delete_all(f"backups/{ulid}/")
            removed += erasures.forget(f"DB#{ulid}", "H#")
        removed += erasures.forget_billing(control.subscriptions.book(tenant.tenant_id))
        for restore in restores:
            removed += erasures.forget(f"RESTORE#{restore.restore_id}", "H#")
            removed += erasures.forget(f"RESTORE#{restore.restore_id}", "META")
        removed += erasures.forget(f"TENANT#{tenant.tenant_id}", "RESTORE#")
        # A receipt of a closing names its database, which leads to what lies in the bucket.
        removed += erasures.forget(f"TENANT#{tenant.tenant_id}", "RECEIPT#")
        after = tombstone(tenant, control.now())
        if after is not tenant:
            control.state.commit(Change(tenant, after))
            removed += 1
        return removed + erasures.forget(f"TENANT#{tenant.tenant_id}", "H#")

    def _erase_backup(self, backup: Backup) -> int:
        removed = self._erasures.forget(f"BACKUP#{backup.backup_id}", "H#")
        if backup.status is BackupStatus.ERASED:
            return removed
        removed += self.store.delete_all(f"backups/{backup.database_ulid}/{backup.backup_id}")
        self.control.state.commit(Change(backup, emptied(backup, self.control.now())))
        return removed + 1

    def _ulids(self, tenant: Tenant, receipt: Erasure, backups: list[Backup]) -> set[str]:
        """Return the databases that were ever known to be the tenant's."""
        fleet = self.control.settings.fleet
        named = {ulid_of_database(fleet, each.database_name) for each in receipt.databases}
        found = named | {each.database_ulid for each in backups} | {tenant.database_ulid}
        return {ulid for ulid in found if ulid is not None}
