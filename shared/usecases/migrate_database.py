"""Bring one database to the head through its binding: no REST call, each file atomic."""

from shared.domain.database import Database
from shared.domain.migrations import LEDGER
from shared.errors import Transient
from shared.usecases.outside import Outside

__all__ = ["migrate_to_head"]


def migrate_to_head(outside: Outside, database: Database) -> str:
    """Apply what the database's ledger lacks; return the version that it then holds.

    Raises:
        MigrationFailed: SQL of ours is wrong; the error names file and statement.
        Transient: the shard does not serve the binding yet, or nobody answers.
    """
    head = outside.migrations.head()
    if head is None:
        return ""
    files = outside.migrations.files(head)
    result = outside.router().migrate(
        shard=database.shard,
        binding=database.binding,
        table=LEDGER,
        files=[(file.name, file.statements) for file in files],
    )
    lacking = {file.name for file in files} - set(result.ledger)
    if lacking:
        raise Transient(f"the ledger lacks {min(lacking)} after its migration")
    return head.schema_version
