"""Everything between a D1 database's content and an SQL dump of it that is proven to restore."""

from shared.dumps.errors import CannotDump, NotRestorable
from shared.dumps.models import Digest, Live, Snapshot, Value, differences

__all__ = [
    "CannotDump",
    "Digest",
    "Live",
    "NotRestorable",
    "Snapshot",
    "Value",
    "differences",
]
