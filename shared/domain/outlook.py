"""What a tenant is, on whose word, and what happens next and when: one screen for operators.

Everything that could be said of a tenant's future is decided elsewhere; here it is only put into
words. Called by the CLI.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, assert_never

from shared.domain.backup import Backup, BackupStatus, Restore, RestoreStatus
from shared.domain.database import Database, DatabaseStatus
from shared.domain.standing import FREE, Entitlement, Right, Target, operators_word, wanted
from shared.domain.tenant import Tenant, TenantStatus

__all__ = ["Circumstances", "Outlook", "outlook", "size_in_words"]


@dataclass(frozen=True)
class Circumstances:
    """Hold what a tenant's outlook depends on, beside the tenant.

    `aside` names its databases beside the one that it uses. `backup` is the one that matters: of
    this closing, else the one from which a closed tenant can come back. `stopped` says why all
    deletes are stopped, if they are.
    """

    database: Database | None = None
    entitlement: Entitlement = FREE
    backup: Backup | None = None
    restore: Restore | None = None
    stopped: str | None = None
    access_settle: timedelta = timedelta(0)
    require_subscription: bool = False
    aside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outlook:
    """Say `what` a tenant is, on whose `word`, what comes `next` and `at` what time, if known.

    `stuck` says that it does not go on before a person did something: `next` says what.
    """

    what: str
    word: str
    next: str = ""
    at: datetime | None = None
    stuck: bool = False


_STEPS: Final = "backup, proof, unbinding, deletion"
_UNSAVED: Final = "unbinding and deletion, without a backup"
_UNIT: Final = 1000.0


def outlook(tenant: Tenant, given: Circumstances) -> Outlook:
    """Return what can be said of a tenant."""
    found = _of_status(tenant, given)
    restore = given.restore
    if restore is not None and not restore.settled and tenant.database_ulid is not None:
        beside = f"backup {restore.backup_id} is being restored beside its data"
        then = "proven, it takes the place of what it has"
        found = replace(found, what=f"{found.what}; {beside}", next=then)
    if tenant.held_up is None or found.stuck:
        return found
    how = f"mend it; it is tried again every half hour, then {found.next}"
    return replace(found, what=f"{found.what}; held up by {tenant.held_up}", next=how, stuck=True)


def _of_status(tenant: Tenant, given: Circumstances) -> Outlook:
    word = _word(tenant, given)
    match tenant.status:
        case TenantStatus.PENDING:
            return _pending(tenant, given, word)
        case TenantStatus.ACTIVATING:
            return Outlook(
                "has its database; its route is being published",
                word,
                "active, once the router has answered from that very database",
            )
        case TenantStatus.ACTIVE:
            return _active(tenant, given, word)
        case TenantStatus.SUSPENDED:
            return Outlook(
                f"suspended: {tenant.reason}; the data stays",
                word,
                f"nothing until a newer word: of billing, or `d1fleet tenants resume "
                f"{tenant.tenant_id}`",
            )
        case TenantStatus.CLOSING:
            return _closing(tenant, given, word)
        case TenantStatus.CLOSED:
            return _closed(tenant, given, word)
        case TenantStatus.FAILED:
            by_itself = "goes on by itself once databases can be made; at once with "
            mended = "" if tenant.failed_by_pool else "once that is mended: "
            how = f"`d1fleet tenants retry {tenant.tenant_id}`"
            return Outlook(
                f"failed: {tenant.reason}",
                word,
                (by_itself if tenant.failed_by_pool else mended) + how,
                stuck=True,
            )
        case _:
            assert_never(tenant.status)


def size_in_words(size: int) -> str:
    """Return a size in bytes as people say it: `12 MB`."""
    amount = float(size)
    for unit in ("bytes", "kB", "MB"):
        if amount < _UNIT:
            return f"{amount:.0f} {unit}"
        amount /= _UNIT
    return f"{amount:.1f} GB"


def _word(tenant: Tenant, given: Circumstances) -> str:
    """Return whose word it is that counts, and of when."""
    said = given.entitlement.said_at
    if _operator_counts(tenant, given.entitlement):
        return f"an operator's, {_when(tenant.operator_at or tenant.updated_at)}"
    target, _ = wanted(tenant, given.entitlement, require_subscription=given.require_subscription)
    if target is Target.CLOSED and tenant.removed_at is not None:
        return f"the auth provider's, {_when(tenant.removed_at)}"
    if said is not None:
        return f"billing's, {_when(said)}"
    if tenant.known_at is not None:
        return f"the auth provider's, {_when(tenant.known_at)}"
    return f"an operator's, {_when(tenant.created_at)}"


def _operator_counts(tenant: Tenant, entitlement: Entitlement) -> bool:
    return operators_word(tenant, entitlement) is not None


def _pending(tenant: Tenant, given: Circumstances, word: str) -> Outlook:
    restore = given.restore
    if restore is None and tenant.wants_restore:
        then = "its proven backup is restored into a fresh database"
        return Outlook("comes back; its database was deleted meanwhile", word, then)
    if restore is None:
        return Outlook(
            "has no database yet",
            word,
            "the next database that is ready comes to it; it is being made",
        )
    what = f"backup {restore.backup_id} comes back into a fresh database"
    match restore.status:
        case RestoreStatus.WANTED | RestoreStatus.IMPORTING:
            return Outlook(what, word, "import, proof, binding, then active")
        case RestoreStatus.PROVEN | RestoreStatus.DONE:
            return Outlook(f"{what}: proven", word, "binding, then active")
        case RestoreStatus.REFUSED:
            how = f"mend it, then `d1fleet tenants retry {tenant.tenant_id}`"
            return Outlook(f"{what}: stopped, {restore.reason}", word, how, stuck=True)
        case _:
            assert_never(restore.status)


def _active(tenant: Tenant, given: Circumstances, word: str) -> Outlook:
    entitlement = given.entitlement
    target, why = wanted(tenant, entitlement, require_subscription=given.require_subscription)
    match target:
        case Target.SUSPENDED:
            return Outlook("served", word, f"suspended: {why}")
        case Target.CLOSED:
            return Outlook("served", word, f"closing: {why}")
        case Target.SERVED:
            pass
        case _:
            assert_never(target)
    if _operator_counts(tenant, entitlement):
        return Outlook("served, on an operator's word", word)
    match entitlement.right:
        case Right.GRACE:
            return Outlook(
                f"served although {entitlement.reason}",
                word,
                "suspended, if nothing is paid",
                entitlement.changes_at,
            )
        case Right.ACTIVE if entitlement.ends_at is not None:
            then = "the subscription ends as it was cancelled, and the closing begins"
            return Outlook("served, subscribed", word, then, entitlement.ends_at)
        case Right.ACTIVE:
            return Outlook("served, subscribed", word)
        case Right.FREE | Right.SUSPENDED | Right.ENDED:
            return Outlook("served, without a subscription", word)
        case _:
            assert_never(entitlement.right)


def _closing(tenant: Tenant, given: Circumstances, word: str) -> Outlook:
    what = f"closing: {tenant.reason}; access is cut"
    database = given.database
    steps = _UNSAVED if tenant.without_backup else _STEPS
    if database is not None and database.status is DatabaseStatus.CLAIMED:
        # Nothing begins before no cache can let anybody in any more.
        settled_at = (tenant.access_cut_at or tenant.status_since) + given.access_settle
        begins_at = max(tenant.grace_ends_at or settled_at, settled_at)
        return Outlook(f"{what}, the data stays until the grace ends", word, steps, begins_at)
    if database is None or database.status is DatabaseStatus.DELETED:
        then = "closed, for it has no database any more"
        return Outlook(what, word, then, tenant.grace_ends_at)
    return _leaving(tenant, database, given, what, word)


def _leaving(
    tenant: Tenant, database: Database, given: Circumstances, what: str, word: str
) -> Outlook:
    match database.status:
        case DatabaseStatus.EXPORTING:
            if given.backup is None or given.backup.status is not BackupStatus.PROVEN:
                return Outlook(f"{what}, its backup is being made and proven", word, "unbinding")
            return Outlook(f"{what}, {_proven(given.backup)}", word, "unbinding")
        case DatabaseStatus.UNBINDING:
            if given.stopped is not None:
                stopped = f"all deletes are stopped: {given.stopped}"
                how = "look why, then `d1fleet breaker reset`"
                return Outlook(f"{what}; {stopped}", word, how, stuck=True)
            then = "deletion, once the running shard was seen without it"
            return Outlook(f"{what}, its database is being unbound", word, then)
        case DatabaseStatus.DELETING:
            then = "deletion, then closed; a resume from now on restores the backup"
            return Outlook(f"{what}, past the point of no return", word, then)
        case DatabaseStatus.REBINDING:
            then = "leaving goes on once it is bound again"
            return Outlook(f"{what}, its database was on its way back", word, then)
        case _:
            stopped = f"stopped, {database.name} is {database.status}: {database.reason}"
            how = f"mend it, then `d1fleet tenants retry {tenant.tenant_id}`"
            return Outlook(f"{what}; {stopped}; nothing was deleted", word, how, stuck=True)


def _closed(tenant: Tenant, given: Circumstances, word: str) -> Outlook:
    backup = given.backup
    what = "closed, its database is deleted"
    if given.aside:
        names = ", ".join(given.aside)
        how = f"`d1fleet restore {tenant.tenant_id} --drop {given.aside[0]}`, or a backup of it"
        return Outlook(f"closed, but with data of its in {names}", word, how, stuck=True)
    if backup is None or backup.status is not BackupStatus.PROVEN:
        return Outlook(f"{what}; there is no backup", word)
    then = f"the backup is let go; until then `d1fleet restore {tenant.tenant_id}` brings it back"
    return Outlook(f"{what}; {_proven(backup)}", word, then, backup.keep_until)


def _proven(backup: Backup) -> str:
    return f"backup {backup.backup_id} is proven, {size_in_words(backup.size)}"


def _when(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"
