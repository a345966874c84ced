"""Measure databases through their bindings: schema, ledger and size. No call of the REST API.

A fleet of up to 2,000 databases is measured every night, of a larger one a seventh, so that all are
within a week. Whatever has an open finding is measured every time, else it would seem mended.
"""

import hashlib
import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from shared.domain.database import Database, DatabaseStatus
from shared.domain.drift.contents import AnyContents, Measured, compare_contents, right_schemas
from shared.domain.migrations import LEDGER
from shared.domain.names import binding_name
from shared.errors import ControlPlaneError
from shared.usecases.looking import Looking
from shared.usecases.made_schemas import made_schemas

__all__ = ["ContentsSeen", "gather_contents"]

EVERY_NIGHT: Final = 2000
NIGHTS: Final = 7
MOST_INSPECTED: Final = 100

_BOUND: Final = (DatabaseStatus.READY, DatabaseStatus.CLAIMED)

log = logging.getLogger("d1fleet")


@dataclass
class ContentsSeen:
    """Say what differs, how many were measured, and which shards could not be asked."""

    drifts: list[AnyContents] = field(default_factory=list)
    measured: int = 0
    unasked: list[str] = field(default_factory=list)


def gather_contents(looking: Looking, always: Collection[str]) -> ContentsSeen:
    """Measure tonight's share of the databases, and those of `always` (ULIDs), and compare them.

    Raises:
        Transient: the table or the bucket does not answer.
    """
    seen = ContentsSeen()
    rows: list[Measured] = []
    for shard, items in sorted(_chosen(looking, always).items()):
        for start in range(0, len(items), MOST_INSPECTED):
            try:
                rows += _measured(looking, shard, items[start : start + MOST_INSPECTED])
            except ControlPlaneError as error:
                log.warning("%s was not measured: %s", shard, error)
                seen.unasked.append(shard)
                break
    seen.measured = len(rows)
    head = looking.outside.head()
    right = right_schemas(rows, made_schemas(looking.outside.migrations))
    found = compare_contents(
        looking.fleet,
        rows,
        head=head,
        right=right,
        limit=looking.control.settings.database_limit_mb * 1_000_000,
    )
    seen.drifts = [drift for drift in found if _stands(looking, drift)]
    return seen


def _chosen(looking: Looking, always: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Return tonight's share by shard."""
    items = [dict(item) for item in looking.databases(*_BOUND) if not looking.fresh(item)]
    if len(items) > EVERY_NIGHT:
        tonight = looking.began.toordinal() % NIGHTS
        items = [
            item for item in items if _night(str(item["ulid"])) == tonight or item["ulid"] in always
        ]
    by_shard: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        by_shard.setdefault(str(item["shard"]), []).append(item)
    return by_shard


def _night(ulid: str) -> int:
    """Return on which night of a week a database is measured."""
    return int.from_bytes(hashlib.sha256(ulid.encode()).digest()[:4], "big") % NIGHTS


def _measured(looking: Looking, shard: str, items: Sequence[dict[str, Any]]) -> Iterator[Measured]:
    known = {binding_name(str(item["ulid"])): item for item in items}
    for row in looking.outside.router().inspect(shard, list(known), LEDGER):
        if row.error is not None or row.schema_hash is None:
            continue  # what does not answer is seen by others: it is not there, or not bound
        item = known[row.binding]
        yield Measured(
            str(item["ulid"]),
            item.get("database_id"),
            item.get("owner"),
            item["status"] == DatabaseStatus.READY,
            int(item["version"]),
            row.size or 0,
            row.schema_hash,
            row.schema_version,
        )


def _stands(looking: Looking, drift: AnyContents) -> bool:
    """Say whether a database's record is still as it was: nobody migrated it meanwhile."""
    record: Database | None = looking.control.state.database(drift.ulid)
    return record is not None and record.updated_at < looking.began and record.status in _BOUND
