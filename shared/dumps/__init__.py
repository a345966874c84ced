"""Everything between a D1 database's content and an SQL dump of it that is proven to restore.

::

    live database ──take_snapshot──▶ SQLite file ──write_dump──▶ SQL ──load_sql──▶ SQLite file
          └──digest_live──▶ Digest ◀──────────── differences ───────────▶ Digest ◀──digest_of──┘

A live database is whatever answers the questions of `Live`. SQLite is apsw's, since the runtime's
own may be older than the one that D1 runs.
"""

from shared.dumps.digests import digest_live, digest_of
from shared.dumps.errors import CannotDump, NotRestorable
from shared.dumps.loading import check_integrity, load_sql
from shared.dumps.models import Digest, Live, Snapshot, Value, differences
from shared.dumps.rehearsal import rehearse
from shared.dumps.snapshot import take_snapshot
from shared.dumps.writing import write_dump

__all__ = [
    "CannotDump",
    "Digest",
    "Live",
    "NotRestorable",
    "Snapshot",
    "Value",
    "check_integrity",
    "differences",
    "digest_live",
    "digest_of",
    "load_sql",
    "rehearse",
    "take_snapshot",
    "write_dump",
]
