"""`d1fleet restore`: a tenant's data back from a backup, or a copy of it to look at."""

import click

from ops.asking import confirm_id
from ops.options import Run, command
from ops.output import Status, plain
from ops.program import Failed
from ops.progress import watch
from ops.rows import restore_row, tenant_row
from shared.domain.backup import Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.context import Control
from shared.usecases.operate_restore import Asked, OperateRestore
from shared.usecases.overviews import show_tenant

__all__ = ["add_restore"]


def add_restore(group: click.Group) -> None:
    """Add the command to a group."""
    options = (
        click.argument("tenant_id", metavar="TENANT"),
        click.option("--backup", "backup_id", metavar="ID", help="Which; default: the newest."),
        click.option("--detached", is_flag=True, help="A copy beside what it has, to look at."),
        click.option("--replace", is_flag=True, help="In the place of what a live tenant has."),
        click.option("--drop", metavar="NAME", help="Delete a detached copy; asks for the id."),
        click.option("--confirm", metavar="TENANT", help="The id once more; with --drop."),
        click.option("--no-wait", is_flag=True, help="Don't wait until it is done."),
    )
    function = restore
    for option in reversed(options):
        function = option(function)
    command(group, "restore")(function)


def restore(
    run: Run,
    tenant_id: str,
    backup_id: str | None,
    detached: bool,
    replace: bool,
    drop: str | None,
    confirm: str | None,
    no_wait: bool,
) -> int:
    """Bring a tenant's data back from a backup into a fresh database.

    A closed tenant is served again, a closing one is resumed. Ends with status 2 if a person is
    needed before it can go on.
    """
    operate, trace = OperateRestore(run.deployment.parts.control), run.deployment.trace
    if drop is not None:
        if detached or replace or backup_id is not None:
            raise click.UsageError("--drop deletes a copy and restores nothing: give it alone.")
        confirm_id(tenant_id, confirm, what=f"delete the copy {plain(drop)} for good")
        return _drop(run, operate, tenant_id, drop, wait=not no_wait)
    if confirm is not None:
        raise click.UsageError("--confirm goes with --drop.")
    if detached and replace:
        raise click.UsageError("Give --detached or --replace, not both.")
    asked = operate.restore(
        tenant_id, backup_id=backup_id, detached=detached, replace=replace, trace=trace
    )
    if no_wait:
        _print(run, asked.tenant, asked.restore)
        return Status.DONE
    run.output.note("it goes on if you interrupt this: see `d1fleet tenants show`")
    return _wait(run, asked)


def _wait(run: Run, asked: Asked) -> int:
    control, tenant_id = run.deployment.parts.control, asked.tenant.tenant_id
    done = asked.restore
    if done is not None:
        restore_id = done.restore_id
        what = f"restoring backup {done.backup_id}"
        done = watch(what, lambda: _look(control, restore_id))
        if done.status is RestoreStatus.REFUSED:
            raise Failed(f"the restore is refused: {done.reason}", restore=restore_row(done, None))
    if done is not None and done.detached:
        _print(run, asked.tenant, done)
        return Status.DONE
    tenant = watch(f"bringing {tenant_id} back", lambda: _served(control, tenant_id))
    _print(run, tenant, done)
    return Status.DONE if tenant.status is TenantStatus.ACTIVE else Status.NEEDS_A_PERSON


def _look(control: Control, restore_id: str) -> tuple[Restore | None, str]:
    found = control.state.restore(restore_id)
    if found is None:
        raise Failed(f"the record of restore {restore_id} is gone")
    if found.settled:
        return found, ""
    if found.failures:
        return None, f"{found.status}, tried {found.failures} times"
    return None, f"{found.status}"


def _served(control: Control, tenant_id: str) -> tuple[Tenant | None, str]:
    """Return the tenant once nothing is on its way for it, whatever it came to."""
    tenant = show_tenant(control, tenant_id).tenant
    return (tenant if tenant.settled else None), str(tenant.status)


def _print(run: Run, tenant: Tenant, done: Restore | None) -> None:
    state = run.deployment.parts.control.state
    database = state.database(done.database_ulid) if done else None
    row = {**tenant_row(tenant), "restore": restore_row(done, database) if done else None}
    if done is not None and done.detached and database is not None:
        sentence = f"backup {done.backup_id} is {done.status} in {database.name}"
    elif done is not None:
        sentence = f"{tenant.tenant_id} is {tenant.status}, backup {done.backup_id} {done.status}"
    else:
        sentence = f"{tenant.tenant_id} is {tenant.status}: its closing is undone"
    run.output.result(row, sentence)


def _drop(run: Run, operate: OperateRestore, tenant_id: str, name: str, *, wait: bool) -> int:
    control = run.deployment.parts.control
    database = operate.drop(tenant_id, name, trace=run.deployment.trace)
    if wait:
        database = watch(f"deleting {name}", lambda: _deleted(control, database.ulid))
    run.output.result(
        {"tenant_id": tenant_id, "database_name": name, "database_status": str(database.status)},
        f"{name} is {database.status}",
    )
    stopped = database.status is DatabaseStatus.QUARANTINED
    return Status.NEEDS_A_PERSON if stopped else Status.DONE


def _deleted(control: Control, ulid: str) -> tuple[Database | None, str]:
    found = control.state.database(ulid)
    if found is None:
        raise Failed(f"the record of database {ulid} is gone")
    ended = found.status in {DatabaseStatus.DELETED, DatabaseStatus.QUARANTINED}
    return (found if ended else None), str(found.status)
