"""`d1fleet tenants …`: see tenants, and help one along."""

from collections.abc import Mapping
from typing import Any, Final

import click

from ops.options import Run, command
from ops.output import plain
from ops.program import Failed
from ops.rows import TENANT_COLUMNS, closeup_row, tenant_row
from shared.domain.backup import Backup
from shared.domain.outlook import size_in_words
from shared.domain.tenant import TenantStatus
from shared.errors import Permanent
from shared.usecases.operate_tenant import OperateTenant
from shared.usecases.overviews import history_of
from shared.usecases.overviews import tenants as all_tenants
from shared.usecases.retry_tenant import RetryTenant
from shared.usecases.tenant_closeup import tenant_closeup

__all__ = ["tenants"]

SHOWN_FIRST: Final = ("tenant_id", "status", "what", "word", "next", "next_at")
HISTORY: Final = {"at": "when", "who": "who", "what": "what", "why": "why", "call": "call"}


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
    run.output.rows([tenant_row(tenant) for tenant in found], TENANT_COLUMNS, empty="no tenants")


@command(tenants, "show")
@click.argument("tenant_id", metavar="TENANT")
def show(run: Run, tenant_id: str) -> None:
    """Show what a tenant is, on whose word, and what happens next and when."""
    seen = tenant_closeup(run.deployment.parts.control, tenant_id)
    row = closeup_row(seen)
    if run.output.as_json:
        run.output.thing(row)
        return
    last = seen.last_backup
    told = {
        "last_backup": _in_words(last) if last else None,
        "subscriptions": "; ".join(_subscription(each) for each in row["subscriptions"]),
        "copies": ", ".join(copy["database_name"] for copy in row["copies"]),
        "receipts": f"{len(seen.receipts)}, see --json" if seen.receipts else None,
    }
    shown = {name: value for name, value in (row | told).items() if value not in {None, "", False}}
    labels = {name: name.replace("_", " ") for name in (*SHOWN_FIRST, *row) if name in shown}
    run.output.thing(shown, labels)


def _subscription(row: Mapping[str, Any]) -> str:
    ends = f", ends {plain(row['ends_at'])}" if row["ends_at"] else ""
    return f"{row['provider']} {row['subscription_id']} {row['standing'] or 'unknown'}{ends}"


def _in_words(backup: Backup) -> str:
    kept = f", kept until {plain(backup.keep_until)}" if backup.keep_until else ""
    size = size_in_words(backup.size)
    return f"{backup.backup_id}, {plain(backup.created_at)}, {size}, proven{kept}"


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
    run.output.result(tenant_row(tenant), f"{tenant.tenant_id} is {tenant.status}")


@command(tenants, "retry")
@click.argument("tenant_ids", metavar="[TENANT]...", nargs=-1)
@click.option("--failed", is_flag=True, help="Every failed tenant.")
def retry(run: Run, tenant_ids: tuple[str, ...], failed: bool) -> None:
    """Send failed tenants on their way again, once the reason is mended.

    What made the pool of their class stop is tried again as well. A database that was said to be
    gone is put back if D1 has it after all.
    """
    if bool(tenant_ids) == failed:
        raise click.UsageError("Name tenants, or give --failed.")
    deployment = run.deployment
    parts = deployment.parts
    if failed:
        tenant_ids = tuple(t.tenant_id for t in all_tenants(parts.control, TenantStatus.FAILED))
    again = RetryTenant(parts.control, parts.outside)
    done, refused = [], []
    for tenant_id in tenant_ids:
        try:
            done.append(tenant_row(again(tenant_id, deployment.trace)))
        except Permanent as error:
            # That one can't go on keeps the others from nothing.
            refused.append(error.reason)
    if refused:
        raise Failed("; ".join(refused), tenants=done)
    if any(row["status"] == TenantStatus.FAILED for row in done):
        raise Failed("a tenant failed again at once: see `d1fleet tenants list --status failed`")
    run.output.rows(done, TENANT_COLUMNS, empty="no tenant has failed")
