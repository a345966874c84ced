"""`d1fleet tenants …`: see tenants, and help one along."""

from typing import Any, Final

import click

from ops.options import Run, command
from ops.program import Failed
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.overviews import history_of, show_tenant
from shared.usecases.overviews import tenants as all_tenants

__all__ = ["tenants"]

COLUMNS: Final = {
    "tenant_id": "tenant",
    "status": "status",
    "class": "class",
    "database_name": "database",
    "shard": "shard",
    "schema_version": "schema",
    "created_at": "created",
    "reason": "reason",
}
HISTORY: Final = {"at": "when", "who": "who", "what": "what", "why": "why", "call": "call"}


def row_of(tenant: Tenant) -> dict[str, Any]:
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
        "grace_ends_at": tenant.grace_ends_at,
        "created_at": tenant.created_at,
        "updated_at": tenant.updated_at,
        "status_since": tenant.status_since,
    }


@click.group()
def tenants() -> None:
    """See tenants, and help one along."""


@command(tenants, "list")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in TenantStatus]),
    help="Only tenants of this status; may be given more than once.",
)
def list_(run: Run, statuses: tuple[str, ...]) -> None:
    """List all tenants, the oldest first."""
    found = all_tenants(run.deployment.parts.control, *(TenantStatus(each) for each in statuses))
    run.output.rows([row_of(tenant) for tenant in found], COLUMNS, empty="no tenants")


@command(tenants, "show")
@click.argument("tenant_id", metavar="TENANT")
def show(run: Run, tenant_id: str) -> None:
    """Show one tenant and its database."""
    view = show_tenant(run.deployment.parts.control, tenant_id)
    database: dict[str, Any] = {}
    if view.database is not None:
        database = {
            "database_status": str(view.database.status),
            "database_reason": view.database.reason,
            "database_created_at": view.database.created_at,
        }
    run.output.thing(row_of(view.tenant) | database)


@command(tenants, "history")
@click.argument("tenant_id", metavar="TENANT")
def history(run: Run, tenant_id: str) -> None:
    """Show what happened to a tenant, the newest first."""
    lines = list(history_of(run.deployment.parts.control, tenant_id))
    run.output.rows(lines, HISTORY, empty="nothing is written down")


@command(tenants, "provision")
@click.argument("tenant_id", metavar="TENANT")
@click.option("--class", "class_", metavar="CLASS", help="Class of the database; default: first.")
@click.option("--name", "display_name", metavar="NAME", help="Name for people.")
def provision(run: Run, tenant_id: str, class_: str | None, display_name: str | None) -> None:
    """Give a tenant a database, as its signup would.

    Does not wait: `tenants show` says when it is active. Asking again changes nothing.
    """
    deployment = run.deployment
    tenant = OperateTenant(deployment.parts.control).provision(
        tenant_id, class_=class_, display_name=display_name, trace=deployment.trace
    )
    run.output.result(row_of(tenant), f"{tenant.tenant_id} is {tenant.status}")


@command(tenants, "retry")
@click.argument("tenant_ids", metavar="[TENANT]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed tenant.")
def retry(run: Run, tenant_ids: tuple[str, ...], failed: bool) -> None:
    """Send failed tenants on their way again, once the reason is mended.

    What made the pool of their class stop is tried again as well.
    """
    if bool(tenant_ids) == failed:
        raise click.UsageError("Name tenants, or give --failed.")
    deployment = run.deployment
    control = deployment.parts.control
    if failed:
        tenant_ids = tuple(t.tenant_id for t in all_tenants(control, TenantStatus.FAILED))
    operate = OperateTenant(control)
    done = [row_of(operate.retry(tenant_id, deployment.trace)) for tenant_id in tenant_ids]
    if any(row["status"] == TenantStatus.FAILED for row in done):
        raise Failed("a tenant failed again at once: see `d1fleet tenants list --status failed`")
    run.output.rows(done, COLUMNS, empty="no tenant has failed")
