"""`d1fleet backup` and `backups`: a tenant's data in a file, or proven in the bucket."""

import time
from pathlib import Path
from typing import Any, Final

import click

from ops.options import Run, command
from ops.output import plain
from ops.program import Failed
from ops.progress import watch, working
from ops.rows import backup_row
from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.outlook import size_in_words
from shared.usecases.context import Control
from shared.usecases.export_copy import ExportCopy
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import owned_database
from shared.usecases.request_backup import request_backup

__all__ = ["add_backups"]

COLUMNS: Final = {
    "backup_id": "backup",
    "created_at": "created",
    "reason": "reason",
    "status": "status",
    "size": "bytes",
    "rows": "rows",
    "sha256": "sha256",
    "expires_at": "kept until",
    "refused_because": "refused because",
}


def add_backups(group: click.Group) -> None:
    """Add the commands to a group."""
    tenant = click.argument("tenant_id", metavar="TENANT")
    file = click.option(
        "-o",
        "--output",
        "path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help="Write it to a file here: SQL if it ends in .sql, else SQLite.",
    )
    name = click.option(
        "--database", "name", metavar="NAME", help="A copy of its, not the one it uses."
    )
    block = click.option("--block", is_flag=True, help="Keep it from answering meanwhile.")
    force = click.option("--force", is_flag=True, help="Replace the file if it is there; with -o.")
    no_wait = click.option("--no-wait", is_flag=True, help="Don't wait until it is proven.")
    command(group, "backup")(tenant(file(name(block(force(no_wait(backup)))))))
    command(group, "backups")(tenant(backups))


def backups(run: Run, tenant_id: str) -> None:
    """List a tenant's backups, the newest first."""
    control = run.deployment.parts.control
    tenant = show_tenant(control, tenant_id).tenant
    rows = [backup_row(each) for each in control.state.backups_of(tenant.tenant_id)]
    run.output.rows(rows, COLUMNS, empty=f"{tenant_id} has no backups")


def backup(
    run: Run,
    tenant_id: str,
    path: Path | None,
    name: str | None,
    block: bool,
    force: bool,
    no_wait: bool,
) -> None:
    """Back a tenant up: into a file here with -o, else proven into the fleet's bucket.

    The app's queries go on meanwhile; with --block D1's own export may be used, which keeps the
    database from answering for a moment.
    """
    if path is not None:
        if no_wait:
            raise click.UsageError("--no-wait goes with a backup in the bucket, without -o.")
        _to_file(run, tenant_id, path, name, block=block, force=force)
        return
    if force:
        raise click.UsageError("--force goes with -o FILE.")
    _to_bucket(run, tenant_id, name, block=block, wait=not no_wait)


def _to_file(
    run: Run, tenant_id: str, path: Path, name: str | None, *, block: bool, force: bool
) -> None:
    parts = run.deployment.parts
    export = ExportCopy(parts.control, parts.outside, time.sleep)
    with working(f"copying the database of {tenant_id}"):
        done = export(tenant_id, path, name=name, block=block, overwrite=force)
    row = {
        "tenant_id": tenant_id,
        "path": str(done.path),
        "size": done.size,
        "tables": done.tables,
        "rows": done.rows,
        "method": done.method,
    }
    size = size_in_words(done.size)
    run.output.result(row, f"{done.path}: {done.tables} tables, {done.rows} rows, {size}")


def _to_bucket(run: Run, tenant_id: str, name: str | None, *, block: bool, wait: bool) -> None:
    control, trace = run.deployment.parts.control, run.deployment.trace
    view = show_tenant(control, tenant_id)
    database = owned_database(control, tenant_id, name) if name is not None else view.database
    if database is None:
        raise Failed(f"{tenant_id} is {view.tenant.status} and has no database")
    asked = request_backup(
        control,
        view.tenant,
        database,
        because=BackupReason.OPERATOR,
        block=block,
        trace=trace,
    )
    if not wait:
        run.output.result(backup_row(asked), f"backup {asked.backup_id} is {asked.status}")
        return
    run.output.note("it goes on if you interrupt this: see `d1fleet backups`")
    done = watch(f"backing {tenant_id} up", lambda: _look(control, asked.backup_id))
    row: dict[str, Any] = backup_row(done)
    if done.status is not BackupStatus.PROVEN:
        raise Failed(f"backup {done.backup_id} is {done.status}: {done.reason}", backup=row)
    size = size_in_words(done.size)
    sentence = f"backup {done.backup_id} is proven: {done.rows} rows, {size}"
    run.output.result(row, f"{sentence}, kept until {plain(done.keep_until)}")


def _look(control: Control, backup_id: str) -> tuple[Backup | None, str]:
    found = control.state.backup(backup_id)
    if found is None:
        raise Failed(f"the record of backup {backup_id} is gone")
    if found.settled:
        return found, ""
    if found.failures:
        return None, f"tried {found.failures} times, again at {plain(found.wake_at)}"
    return None, "being made and proven" if found.attempts else "waiting to be made"
