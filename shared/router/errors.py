"""What the router's admin door can answer instead of a result.

ControlPlaneError
├── Transient
│   └── RouterUnavailable      no connection, 5xx, nonsense: every operation may be sent again
│       ├── ShardUnknown       the router has no binding to that shard yet
│       ├── BindingMissing     the running shard does not serve that database yet
│       ├── TenantNotReady     the router could not answer from the tenant's own database
│       └── SignatureRefused   401: secrets differ while one is rotated
└── Permanent
    ├── NoAdminDoor            404
    ├── WrongFleet             the router belongs to another fleet, or answers for another script
    ├── OwnerConflict          a database has another owner, for ever
    ├── MigrationFailed        SQL of ours is wrong: file, statement and message
    ├── BadRouterAddress       the router's URL is no address, or leads elsewhere
    └── RouterRefused          every other refusal
"""

from shared.errors import Permanent, Transient

__all__ = [
    "BadRouterAddress",
    "BindingMissing",
    "MigrationFailed",
    "NoAdminDoor",
    "OwnerConflict",
    "RouterRefused",
    "RouterUnavailable",
    "ShardUnknown",
    "SignatureRefused",
    "TenantNotReady",
    "WrongFleet",
]


class RouterUnavailable(Transient):
    """Say that the router did not do its work; every operation may be sent again."""


class ShardUnknown(RouterUnavailable):
    """Say that the running router has no binding to the shard yet."""


class BindingMissing(RouterUnavailable):
    """Say that the running shard does not serve the database yet."""


class TenantNotReady(RouterUnavailable):
    """Say that the router could not answer from the tenant's own database."""


class SignatureRefused(RouterUnavailable):
    """Say that the router does not take our signature: a rotation that is under way passes."""


class NoAdminDoor(Permanent):
    """Say that nothing of ours answers at the router's address."""


class WrongFleet(Permanent):
    """Say that the router is another fleet's: nothing was changed."""


class OwnerConflict(Permanent):
    """Say that a database is another tenant's for ever; the row that claimed it was not written.

    `conflicts` are pairs of tenant id and database uuid.
    """

    def __init__(self, conflicts: tuple[tuple[str, str], ...]) -> None:
        named = ", ".join(f"{database} for {tenant}" for tenant, database in conflicts)
        super().__init__(
            f"the directory knows another owner of database {named or 'of this request'}: "
            "compare the table with the directory before anything else is done"
        )
        self.conflicts = conflicts


class MigrationFailed(Permanent):
    """Say that a migration is wrong: nothing of `file` stays, files before it are applied.

    `statement` counts from 0 and is None when it could not be found out; `message` is SQLite's.
    """

    def __init__(self, file: str, statement: int | None, message: str) -> None:
        where = "" if statement is None else f", statement {statement + 1}"
        super().__init__(f"migration {file}{where}: {message}")
        self.file = file
        self.statement = statement
        self.message = message


class BadRouterAddress(Permanent):
    """Say that the router's URL is no address, or leads elsewhere."""


class RouterRefused(Permanent):
    """Say that the router refused for a reason that we know no way around."""
