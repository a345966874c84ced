"""Measure databases through their bindings: schema, ledger and size. No call of the REST API.

A fleet of up to 2,000 databases is measured every night, of a larger one a seventh, so that all are
within a week. Whatever has an open finding is measured every time, else it would seem mended.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from pydantic import BaseModel, Field

from shared.domain.database import DatabaseStatus
from shared.domain.drift.contents import AnyContents, Measured, compare_contents, right_schemas
from shared.domain.migrations import LEDGER
from shared.domain.names import binding_name, ulid_of_binding
from shared.errors import ControlPlaneError
from shared.router.models import Inspection
from shared.usecases.looking import Looking
from shared.usecases.made_schemas import made_schemas

__all__ = ["Measuring", "begin_measuring", "compare_measured", "measure_part"]

EVERY_NIGHT: Final = 2000
NIGHTS: Final = 7

_BOUND: Final = (DatabaseStatus.READY, DatabaseStatus.CLAIMED)

log = logging.getLogger("d1fleet")


class Measuring(BaseModel):
    """Hold how far tonight's measuring is: what is to be measured in parts, and what was.

    `left` are the parts that are left, each a shard and ULIDs of databases that it is bound to.
    """

    head: str
    left: list[tuple[str, list[str]]]
    rows: list[Measured] = Field(default_factory=list)
    unasked: list[str] = Field(default_factory=list)


def begin_measuring(looking: Looking, always: Collection[str], at_once: int) -> Measuring:
    """Choose tonight's share of the databases, and those of `always` (ULIDs), in parts.

    Raises:
        Transient: the table does not answer.
    """
    return Measuring(
        head=looking.outside.head(),
        left=[
            (shard, ulids[start : start + at_once])
            for shard, ulids in sorted(_chosen(looking, always).items())
            for start in range(0, len(ulids), at_once)
        ],
    )


def measure_part(looking: Looking, measuring: Measuring) -> None:
    """Measure the part that is first; of a shard that can't be asked the rest is left out too.

    Costs one call of the router, and a read of the table for each database.

    Raises:
        Transient: the table does not answer.
    """
    shard, ulids = measuring.left[0]
    try:
        measured = looking.outside.router().inspect(shard, map(binding_name, ulids), LEDGER)
    except ControlPlaneError as error:
        log.warning("%s was not measured: %s", shard, error)
        measuring.unasked.append(shard)
        measuring.left = [part for part in measuring.left if part[0] != shard]
        return
    measuring.rows += _known(looking, shard, measured)
    measuring.left.pop(0)


def compare_measured(looking: Looking, measuring: Measuring) -> list[AnyContents]:
    """Say what of all that was measured is not as it should be.

    Raises:
        Transient: the bucket does not answer.
    """
    right = right_schemas(measuring.rows, made_schemas(looking.outside.migrations))
    limit = looking.control.settings.database_limit_mb * 1_000_000
    found = compare_contents(
        looking.fleet, measuring.rows, head=measuring.head, right=right, limit=limit
    )
    return list(found)


def _chosen(looking: Looking, always: Collection[str]) -> dict[str, list[str]]:
    """Return tonight's share by shard."""
    items = [
        (str(item["ulid"]), str(item["shard"]))
        for item in looking.databases(*_BOUND)
        if not looking.fresh(item)
    ]
    if len(items) > EVERY_NIGHT:
        tonight = looking.began.toordinal() % NIGHTS
        items = [each for each in items if _night(each[0]) == tonight or each[0] in always]
    by_shard: dict[str, list[str]] = {}
    for ulid, shard in items:
        by_shard.setdefault(shard, []).append(ulid)
    return by_shard


def _night(ulid: str) -> int:
    """Return on which night of a week a database is measured."""
    return int.from_bytes(hashlib.sha256(ulid.encode()).digest()[:4], "big") % NIGHTS


def _known(looking: Looking, shard: str, measured: Iterable[Inspection]) -> Iterator[Measured]:
    """Yield what was measured with what the records say, but for what was changed meanwhile."""
    for row in measured:
        if row.error is not None or row.schema_hash is None:
            continue  # what does not answer is seen by others: it is not there, or not bound
        record = looking.control.state.database(ulid_of_binding(row.binding) or "")
        if record is None or record.status not in _BOUND or record.shard != shard:
            continue
        if record.updated_at >= looking.began:
            continue
        yield Measured(
            record.ulid,
            record.database_id,
            record.owner,
            record.status is DatabaseStatus.READY,
            record.version,
            row.size or 0,
            row.schema_hash,
            row.schema_version,
        )
