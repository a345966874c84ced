"""The command line `d1fleet`: which commands there are, and nothing else."""

import click

from ops.commands.backups import add_backups
from ops.commands.breaker import breaker
from ops.commands.budget import add_budget
from ops.commands.demo import add_demo
from ops.commands.doctor import add_doctor
from ops.commands.erase import add_erase
from ops.commands.findings import findings
from ops.commands.init import add_init
from ops.commands.migrations import migrations
from ops.commands.parked import add_parked
from ops.commands.pool import pool
from ops.commands.reconcile import add_reconcile
from ops.commands.restore import add_restore
from ops.commands.sql import add_sql
from ops.commands.tenants import tenants
from ops.commands.up import add_up
from ops.commands.words import add_words
from ops.context import Where
from ops.options import where_options
from ops.program import Program

__all__ = ["main"]


@click.group("d1fleet", cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@where_options
@click.version_option(package_name="d1fleet", prog_name="d1fleet")
@click.pass_context
def main(
    context: click.Context, profile: str | None, region: str | None, stack: str | None
) -> None:
    """Give every tenant its own Cloudflare D1 database.

    Works on the local stack of this folder (`d1fleet up`), or on a deployed one with --stack.
    Exit status: 0 done, 1 failed, 2 done but a person should look, 64 wrong usage.
    """
    context.obj = Where(profile, region, stack)


main.add_command(breaker)
main.add_command(findings)
main.add_command(migrations)
main.add_command(pool)
main.add_command(tenants)
add_backups(main)
add_budget(main)
add_demo(main)
add_doctor(main)
add_erase(main)
add_init(main)
add_parked(main)
add_reconcile(main)
add_restore(main)
add_sql(main)
add_up(main)
add_words(tenants)
