"""Which schema the pushed migrations make, hashed just as a shard hashes what a database has."""

import hashlib
import json
import logging
from typing import TYPE_CHECKING, Final

from shared.aws.migrations import MigrationStore
from shared.domain.migrations import LEDGER

if TYPE_CHECKING:
    import apsw

__all__ = ["made_schemas"]

_QUESTION: Final = (
    "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT GLOB 'sqlite_*'"
    " AND name NOT GLOB '_cf_*' AND tbl_name <> ? ORDER BY type, name"
)

log = logging.getLogger("d1fleet")


def made_schemas(migrations: MigrationStore) -> dict[str, str]:
    """Return the hash of the schema that each version makes, "" being that of no migration.

    What does not run in the SQLite that is here is left out: then databases are compared with each
    other.
    """
    import apsw  # noqa: PLC0415 - a sweep starts without SQLite

    connection = apsw.Connection(":memory:")
    made = {"": _hash(connection)}
    head = migrations.head()
    for file in migrations.files(head) if head else ():
        try:
            for statement in file.statements:
                connection.execute(statement)
        except apsw.Error as error:
            log.info("%s does not run here: %s", file.name, type(error).__name__)
            break
        made[file.name] = _hash(connection)
    return made


def _hash(connection: "apsw.Connection") -> str:
    rows = [list(row) for row in connection.execute(_QUESTION, (LEDGER,))]
    # As JSON.stringify writes it.
    text = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
