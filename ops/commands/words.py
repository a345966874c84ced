"""`d1fleet tenants suspend|resume|close`: the operator's word about a tenant.

It outranks what billing and the auth provider said before it, until they say something newer.
"""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import click

from ops.asking import DURATION, confirm_id
from ops.options import Run, command
from ops.output import Status, plain
from ops.program import Failed
from ops.rows import TENANT_COLUMNS, tenant_row
from shared.domain.tenant import Tenant, TenantStatus
from shared.errors import ControlPlaneError, Permanent
from shared.usecases.operate_tenant import OperateTenant

__all__ = ["add_words"]

_OTHERWISE: Final = frozenset({TenantStatus.CLOSING, TenantStatus.FAILED})
"""What a tenant still is when it can be neither suspended nor resumed at once."""


def add_words(group: click.Group) -> None:
    """Add the commands to the group of tenants."""
    several = click.argument("tenant_ids", metavar="TENANT...", nargs=-1, required=True)
    command(group, "suspend")(several(suspend))
    command(group, "resume")(several(resume))
    tenant = click.argument("tenant_id", metavar="TENANT")
    grace = click.option(
        "--grace",
        type=DURATION,
        metavar="DURATION",
        help="This tenant's own grace period from now on, in ISO 8601; P0D: none.",
    )
    without = click.option(
        "--without-backup", is_flag=True, help="Delete the data unsaved; asks for the id."
    )
    confirmed = click.option(
        "--confirm", metavar="TENANT", help="The tenant's id once more, where nobody can be asked."
    )
    command(group, "close")(tenant(grace(without(confirmed(close)))))


def suspend(run: Run, tenant_ids: tuple[str, ...]) -> int:
    """Cut tenants' access and keep their data, until somebody says something newer.

    The app sees it within 30 seconds. Ends with status 2 if one can't be suspended as it is now.
    """
    operate, trace = _operate(run), run.deployment.trace
    return _each(run, tenant_ids, lambda one: operate.suspend(one, trace=trace))


def resume(run: Run, tenant_ids: tuple[str, ...]) -> int:
    """Serve suspended or closing tenants again, until somebody says something newer.

    One whose database is being deleted already gets its backup restored. Ends with status 2 if one
    can't be resumed as it is now.
    """
    operate, trace = _operate(run), run.deployment.trace
    return _each(run, tenant_ids, lambda one: operate.resume(one, trace=trace))


def close(
    run: Run,
    tenant_id: str,
    grace: timedelta | None,
    without_backup: bool,
    confirm: str | None,
) -> None:
    """Close a tenant: its database is deleted after the grace period and a proven backup.

    Until the deletion itself it can be resumed. Given again with --grace, the grace counts from
    now. Does not wait: `tenants show` says what comes next and when.
    """
    if without_backup:
        what = f"delete the data of {plain(tenant_id)} for good, without a backup"
        confirm_id(tenant_id, confirm, what=what)
    elif confirm is not None:
        raise click.UsageError("--confirm goes with --without-backup.")
    deployment = run.deployment
    tenant = _operate(run).close(
        tenant_id, grace=grace, without_backup=without_backup, trace=deployment.trace
    )
    if tenant.status is not TenantStatus.CLOSING:
        raise Failed(f"{tenant_id} is {tenant.status}: it can't be closed now")
    run.output.result(tenant_row(tenant), _closing(tenant))


def _closing(tenant: Tenant) -> str:
    if tenant.past_no_return:
        return f"{tenant.tenant_id} is closing, its database is being deleted"
    first = "unsaved" if tenant.without_backup else "once a backup is proven"
    return f"{tenant.tenant_id} is closing: deleted {first}, from {plain(tenant.grace_ends_at)} on"


def _operate(run: Run) -> OperateTenant:
    return OperateTenant(run.deployment.parts.control)


def _each(run: Run, tenant_ids: Sequence[str], say: Callable[[str], Tenant]) -> int:
    """Say a word about each, whatever becomes of the others; print what they are now."""
    done: list[Tenant] = []
    refused: list[dict[str, Any]] = []
    for tenant_id in dict.fromkeys(tenant_ids):
        try:
            done.append(say(tenant_id))
        except ControlPlaneError as error:
            reason = error.reason if isinstance(error, Permanent) else str(error)
            refused.append({"tenant_id": tenant_id, "reason": reason})
    rows = [tenant_row(tenant) for tenant in done]
    if refused:
        others = f" ({len(done)} others are done)" if done else ""
        raise Failed(f"{refused[0]['reason']}{others}", done=rows, refused=refused)
    run.output.rows(rows, TENANT_COLUMNS, empty="nobody was named")
    stuck = any(tenant.status in _OTHERWISE for tenant in done)
    return Status.NEEDS_A_PERSON if stuck else Status.DONE
