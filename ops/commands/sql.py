"""`d1fleet sql`: run SQL on one tenant's database, over Cloudflare's API."""

from typing import Any

import click

from ops.options import Run, command
from ops.program import Failed
from ops.readonly import SCHEMA_QUERY, only_reads
from shared.aws.items import Change, change_writes
from shared.cloudflare.models import QueryResult
from shared.domain.budget import Lane
from shared.domain.tenant import Tenant
from shared.usecases.context import Control
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import owned_database

__all__ = ["add_sql"]


def add_sql(group: click.Group) -> None:
    """Add the command to a group."""
    options = click.option("--write", is_flag=True, help="Let the SQL change the database.")
    statement = click.argument("statement", metavar="SQL")
    name = click.option("--database", "name", metavar="NAME", help="A detached copy of its own.")
    tenant = click.argument("tenant_id", metavar="TENANT")
    command(group, "sql")(tenant(statement(name(options(sql)))))


def sql(run: Run, tenant_id: str, statement: str, name: str | None, write: bool) -> None:
    """Run SQL on a tenant's database and print the rows.

    Without --write it is one statement that only reads, judged by SQLite itself on a copy of the
    tenant's schema. With it there may be several; they run as one transaction, the rows are those
    of the last, and the tenant's history says that somebody wrote. It costs one or two API calls.
    """
    control = run.deployment.parts.control
    tenant = show_tenant(control, tenant_id).tenant
    if name is not None:
        uuid = owned_database(control, tenant_id, name).database_id
    else:
        uuid = tenant.database_id
    if uuid is None:
        raise Failed(f"{tenant_id} is {tenant.status} and has no database {name or ''}".rstrip())
    d1 = run.deployment.parts.outside.cloudflare().on(Lane.REPAIR).d1
    if write:
        _write_down(control, tenant, run.deployment.trace)
        results = d1.query(uuid, statement)
    else:
        schema = d1.query(uuid, SCHEMA_QUERY, read_only=True)[0].results
        reading = only_reads(statement, schema)
        results = d1.query(uuid, reading, read_only=True)
    _print(run, results, write=write)


def _write_down(control: Control, tenant: Tenant, trace: str) -> None:
    """Leave a line in the tenant's history before anything is changed; never the SQL itself."""
    line = control.line("sql --write", call="POST /d1/database/{id}/query", trace=trace)
    *_, history = change_writes(Change(tenant, tenant, line))
    control.state.table.write(history)


def _print(run: Run, results: list[QueryResult], *, write: bool) -> None:
    rows: list[dict[str, Any]] = list(results[-1].results) if results else []
    columns = {name: name for name in rows[0]} if rows else {}
    if write:
        changed = sum(result.meta.changes for result in results)
        run.output.note(f"{changed} rows changed")
    run.output.rows(rows, columns, empty="no rows")
