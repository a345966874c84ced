"""What scripts see of the records: one object for one thing, fields that stay as they are."""

from typing import Any, Final

from shared.aws.table import Item
from shared.domain.backup import Backup, BackupStatus, Restore
from shared.domain.database import Database
from shared.domain.finding import Finding
from shared.domain.subscription import Subscription
from shared.domain.tenant import Tenant
from shared.usecases.tenant_closeup import Closeup

__all__ = [
    "TENANT_COLUMNS",
    "backup_row",
    "closeup_row",
    "finding_row",
    "restore_row",
    "subscription_row",
    "tenant_row",
]

TENANT_COLUMNS: Final = {
    "tenant_id": "tenant",
    "status": "status",
    "class": "class",
    "database_name": "database",
    "shard": "shard",
    "schema_version": "schema",
    "created_at": "created",
    "reason": "reason",
}


def tenant_row(tenant: Tenant) -> dict[str, Any]:
    """Return what scripts see of a tenant."""
    return {
        "tenant_id": tenant.tenant_id,
        "status": str(tenant.status),
        "reason": tenant.reason,
        "class": tenant.class_,
        "database_id": tenant.database_id,
        "database_name": tenant.database_name,
        "binding": tenant.binding,
        "shard": tenant.shard,
        "schema_version": tenant.schema_version,
        "display_name": tenant.display_name,
        "provider": tenant.provider,
        "episode": tenant.episode,
        "operator": None if tenant.operator is None else str(tenant.operator),
        "operator_at": tenant.operator_at,
        "grace_ends_at": tenant.grace_ends_at,
        "without_backup": tenant.without_backup,
        "final_backup_id": tenant.final_backup_id,
        "restore_id": tenant.restore_id,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
        "status_since": tenant.status_since,
    }


def closeup_row(seen: Closeup) -> dict[str, Any]:
    """Return what scripts see of a tenant that is looked at closely."""
    database, last = seen.database, seen.last_backup
    return {
        **tenant_row(seen.tenant),
        "what": seen.outlook.what,
        "word": seen.outlook.word,
        "next": seen.outlook.next or None,
        "next_at": seen.outlook.at,
        "needs_a_person": seen.outlook.stuck,
        "entitlement": str(seen.entitlement.right),
        "subscriptions": [subscription_row(each) for each in seen.subscriptions],
        "database_status": str(database.status) if database else None,
        "database_reason": database.reason if database else None,
        "database_created_at": database.created_at if database else None,
        "last_backup": backup_row(last) if last else None,
        "copies": [copy_row(database) for database in seen.aside],
        "receipts": [receipt_row(receipt) for receipt in seen.receipts],
    }


def backup_row(backup: Backup) -> dict[str, Any]:
    """Return what scripts see of a backup."""
    proven = backup.proven_at is not None
    return {
        "backup_id": backup.backup_id,
        "created_at": backup.created_at,
        "status": str(backup.status),
        "reason": str(backup.because),
        "refused_because": backup.reason,
        "proven": backup.status is BackupStatus.PROVEN,
        "size": backup.size if proven else None,
        "sha256": backup.sha256 or None,
        "expires_at": backup.keep_until,
        "proven_at": backup.proven_at,
        "method": backup.method or None,
        "tables": backup.tables if proven else None,
        "rows": backup.rows if proven else None,
        "bookmark": backup.bookmark or None,
        "key": backup.key or None,
    }


def restore_row(restore: Restore, database: Database | None) -> dict[str, Any]:
    """Return what scripts see of a restore, and of the fresh database that it fills."""
    return {
        "restore_id": restore.restore_id,
        "backup_id": restore.backup_id,
        "status": str(restore.status),
        "reason": restore.reason,
        "detached": restore.detached,
        "database_name": database.name if database else None,
        "database_id": database.database_id if database else None,
        "created_at": restore.created_at,
        "updated_at": restore.updated_at,
    }


def finding_row(finding: Finding) -> dict[str, Any]:
    """Return what scripts see of a finding."""
    return {
        "kind": finding.kind,
        "severity": str(finding.severity),
        "tenant_id": finding.tenant_id,
        "database_id": finding.database_id,
        "database_name": finding.database_name,
        "binding": finding.binding,
        "fingerprint": finding.fingerprint,
        "repair": finding.repair or None,
        "state": str(finding.state),
        "subject": finding.subject,
        "summary": finding.summary,
        "evidence": finding.evidence,
        "sightings": finding.sightings,
        "first_seen": finding.first_seen,
        "last_seen": finding.last_seen,
        "last_notified": finding.last_notified,
        "acked_at": finding.acked_at,
        "resolved_at": finding.resolved_at,
        "resolved_why": finding.resolved_why,
    }


def subscription_row(one: Subscription) -> dict[str, Any]:
    """Return what scripts see of a subscription."""
    newest = one.newest
    return {
        "provider": one.provider,
        "mode": one.mode,
        "subscription_id": one.subscription_id,
        "customer_id": one.customer_id,
        "tenant_id": one.tenant_id,
        "vouched": one.vouched,
        "standing": str(newest.standing) if newest else None,
        "said": newest.said or None if newest else None,
        "said_at": newest.at if newest else None,
        "past_due_since": one.past_due_since,
        "ends_at": newest.ends_at if newest else None,
        "began_at": one.began_at,
        "episode": one.episode,
        "first_seen_at": one.first_seen_at,
    }


def copy_row(database: Database) -> dict[str, Any]:
    """Return what scripts see of a database that lies aside."""
    return {
        "database_name": database.name,
        "database_id": database.database_id,
        "database_status": str(database.status),
        "reason": database.reason,
        "created_at": database.created_at,
    }


def receipt_row(receipt: Item) -> dict[str, Any]:
    """Return what scripts see of a receipt: what was deleted, when, on whose word."""
    return {name: value for name, value in receipt.items() if name not in {"pk", "sk"}}
