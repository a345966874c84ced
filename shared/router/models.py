"""What the router's admin door takes and gives. Fields that a newer router adds are ignored."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

__all__ = [
    "DirectoryPage",
    "DirectoryRow",
    "Inspection",
    "InspectionError",
    "MigrationResult",
    "Owner",
    "Probe",
    "Readings",
    "ServedStatus",
    "StandingRow",
]

Text = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Hold a part of a request or an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class ServedStatus(Model):
    """Say what a running pool Worker serves.

    `bindings_hash` is the hex SHA-256 of its sorted `DB_…` names joined with newlines; `shards` are
    the scripts that a router is bound to.
    """

    script: Text
    generation: int
    fleet_uid: Text
    code: str = ""
    bindings: int
    bindings_hash: str
    shards: tuple[str, ...] = ()


class DirectoryRow(Model):
    """Hold where a tenant's database is. `version` is the tenant's: only a newer one is applied.

    `state` is one of pending, active, suspended, closing, closed, failed; `shard` is a script.
    """

    tenant_id: Text
    shard: str | None = None
    binding: str | None = None
    database_uuid: str | None = None
    state: Text
    schema_version: str | None = None
    version: int


class DirectoryPage(Model):
    """Hold a part of the directory, ordered by tenant id; `next` is where to go on, or None."""

    rows: tuple[DirectoryRow, ...]
    next: Text | None


class Owner(Model):
    """Say which tenant a database belongs to for ever, and since when."""

    database_uuid: Text
    tenant_id: Text
    since: datetime


class StandingRow(DirectoryRow):
    """Hold a row as it stands after an upsert; `applied` says whether this very one wrote it."""

    applied: bool


class Probe(Model):
    """Say which database the router answered a tenant's query from, and what its shard serves."""

    tenant_id: Text
    shard: Text
    binding: Text
    database_uuid: Text
    generation: int


class MigrationResult(Model):
    """Say which files this call applied, and all that the database's ledger holds, in order."""

    applied: tuple[str, ...]
    ledger: tuple[str, ...]


class InspectionError(Model):
    """Say why a database could not be measured."""

    name: str = ""
    message: str = ""


class Inspection(Model):
    """Measure one database: its size in bytes and its schema; or say in `error` why not."""

    binding: Text
    size: int | None = None
    schema_hash: str | None = None
    schema_version: Annotated[str, BeforeValidator(lambda value: value or "")] = ""
    error: InspectionError | None = None


class Readings(Model):
    """Hold the rows that statements gave, a list of values each."""

    results: list[list[list[Any]]]
