"""`d1fleet migrations …`: the SQL files that every tenant's database gets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from ops.context import user
from ops.options import Run, command
from ops.program import Failed
from shared.domain.migrations import BadMigrations, Finding
from shared.domain.tenant import Tenant, TenantStatus
from shared.usecases.applied_migrations import applied_names
from shared.usecases.fill_pool import wake_pools
from shared.usecases.overviews import tenants
from shared.usecases.push_migrations import Pushed, push_migrations, read_folder

__all__ = ["migrations"]

COLUMNS: Final = {
    "name": "file",
    "statements": "statements",
    "size": "bytes",
    "pushed_at": "pushed",
    "pushed_by": "by",
    "sha256": "sha256",
}


def finding_of(finding: Finding) -> dict[str, Any]:
    """Return what scripts see of a finding."""
    return {
        "severity": finding.severity,
        "file": finding.file,
        "line": finding.line or None,
        "message": finding.message,
    }


@click.group()
def migrations() -> None:
    """Push the SQL files that every tenant's database gets, and see which are pushed."""


@command(migrations, "push")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--pattern", default="*.sql", show_default=True, help="Which files, below DIR.")
@click.option("--no-trial", is_flag=True, help="Don't run the files on a database in memory first.")
def push(run: Run, folder: Path, pattern: str, no_trial: bool) -> None:
    """Check the files of DIR and make them what new databases get.

    Files that a database has are never changed: an edited, removed or renamed one is refused. A
    file that no database has (a broken one, that D1 refused) may be mended and pushed again.
    """
    deployment = run.deployment
    control, outside = deployment.parts.control, deployment.parts.outside
    try:
        pushed = push_migrations(
            outside.migrations,
            read_folder(folder, pattern),
            now=control.now,
            pushed_by=user(),
            trial=not no_trial,
            applied=lambda head: applied_names(control, outside, head),
        )
    except BadMigrations as error:
        for finding in error.findings:
            run.output.note(f"{finding.severity}: {finding}")
        raise Failed(
            f"nothing was pushed: {error.reason}",
            findings=[finding_of(finding) for finding in error.findings],
        ) from error
    for warning in pushed.warnings:
        run.output.note(f"warning: {warning}")
    if pushed.changed:
        wake_pools(control, deployment.trace)
    if pushed.replaced or pushed.removed:
        _tell_of_failed(run, tenants(control, TenantStatus.FAILED))
    run.output.result(_result(pushed), _sentence(pushed))


def _tell_of_failed(run: Run, failed: Sequence[Tenant]) -> None:
    """Say that mending a file does not yet help those who met it broken."""
    if failed:
        run.output.note(
            f"{len(failed)} tenants have failed, perhaps for this: `d1fleet tenants retry --failed`"
        )


def _result(pushed: Pushed) -> dict[str, Any]:
    return {
        "schema_version": pushed.head.schema_version,
        "version": pushed.head.version,
        "changed": pushed.changed,
        "new": list(pushed.new),
        "replaced": list(pushed.replaced),
        "removed": list(pushed.removed),
        "warnings": [finding_of(warning) for warning in pushed.warnings],
    }


def _sentence(pushed: Pushed) -> str:
    if not pushed.changed:
        return f"everything was pushed already, up to {pushed.head.schema_version}"
    parts = [
        f"{len(names)} {what}"
        for names, what in (
            (pushed.new, "new"),
            (pushed.replaced, "replaced"),
            (pushed.removed, "removed"),
        )
        if names
    ]
    return f"pushed up to {pushed.head.schema_version}: {', '.join(parts)}"


@command(migrations, "list")
def list_(run: Run) -> None:
    """List the pushed files in their order."""
    head = run.deployment.parts.outside.migrations.head()
    rows = [entry.model_dump() for entry in head.files] if head else []
    run.output.rows(rows, COLUMNS, empty="nothing was pushed yet: `d1fleet migrations push DIR`")
