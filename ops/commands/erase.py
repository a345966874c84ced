"""`d1fleet erase`: remove, for the law, what is left of a closed tenant."""

import click

from ops.asking import confirm_id
from ops.options import Run, command
from ops.output import plain
from ops.progress import working
from shared.aws.backups import connect_backups
from shared.usecases.erase_tenant import EraseTenant

__all__ = ["add_erase"]


def add_erase(group: click.Group) -> None:
    """Add the command to a group."""
    tenant = click.argument("tenant_id", metavar="TENANT")
    confirmed = click.option(
        "--confirm", metavar="TENANT", help="The tenant's id once more, where nobody can be asked."
    )
    command(group, "erase")(tenant(confirmed(erase)))


def erase(run: Run, tenant_id: str, confirm: str | None) -> None:
    """Erase the backups, history, subscriptions and name of a closed tenant, for good.

    Its opaque id stays, so that no late event brings it back, and a receipt that names nobody. Can
    be given again at any time; the receipt is the same.
    """
    what = f"erase all backups and everything else of {plain(tenant_id)} for good"
    confirm_id(tenant_id, confirm, what=what)
    parts = run.deployment.parts
    store = connect_backups(parts.settings.bucket_name)
    with working(f"erasing {tenant_id}"):
        receipt = EraseTenant(parts.control, store)(tenant_id)
    run.output.result(
        receipt.model_dump(),
        f"erased: {len(receipt.backups)} backups of {len(receipt.databases)} databases; "
        f"receipt {receipt.receipt_id}",
    )
