"""Findings in the state table: one item each, found by the state it is in.

In the index `by_status` lie `finding#open` (due: when people are to be reminded), `finding#acked`
(due: last seen) and, until they expire, `finding#resolved` (due: since when).
"""

from collections.abc import Iterator
from datetime import timedelta
from itertools import chain
from typing import Final

from shared.aws.table import Condition, Item, Put, Table
from shared.domain.finding import Finding, FindingState
from shared.domain.lifecycle import iso

__all__ = ["RESOLVED_KEPT", "FindingStore", "finding_put"]

RESOLVED_KEPT: Final = timedelta(days=90)
_NEVER: Final = "9999-12-31T00:00:00.000000Z"


class FindingStore:
    """Read what is kept of findings.

    Every method raises `Transient` when the table does not answer.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, fingerprint: str) -> Finding | None:
        """Return a finding, read consistently, or None."""
        item = self._table.get(f"FINDING#{fingerprint}")
        return None if item is None else Finding.model_validate(item)

    def standing(self) -> Iterator[Finding]:
        """Yield the findings that have not ended, and what stands for storms. It is a hint."""
        return chain(self._in(FindingState.OPEN), self._in(FindingState.ACKED))

    def resolved(self) -> Iterator[Finding]:
        """Yield the findings that ended within the last 90 days. It is a hint."""
        return self._in(FindingState.RESOLVED)

    def _in(self, state: FindingState) -> Iterator[Finding]:
        for item in self._table.query_index("by_status", ("status_key", f"finding#{state}")):
            yield Finding.model_validate(item)


def finding_put(before: Finding | None, after: Finding) -> Put:
    """Return the write of a finding; it fails if the finding is not as it was read any more."""
    if before is None:
        condition = Condition("finding is new", "attribute_not_exists(pk)")
    else:
        condition = Condition(
            "finding is as it was read",
            "#version = :read",
            {"#version": "version"},
            {":read": before.version},
        )
    return Put(_item(after), condition)


def _item(finding: Finding) -> Item:
    item: Item = {
        "pk": f"FINDING#{finding.fingerprint}",
        "sk": "META",
        **finding.model_dump(exclude_none=True),
        "status_key": f"finding#{finding.state}",
        "due": _due(finding),
    }
    if finding.resolved_at is not None and not finding.standing:
        item["expires_at"] = int((finding.resolved_at + RESOLVED_KEPT).timestamp())
    return item


def _due(finding: Finding) -> str:
    match finding.state:
        case FindingState.OPEN:
            return _NEVER if finding.remind_at is None else iso(finding.remind_at)
        case FindingState.ACKED:
            return iso(finding.last_seen)
        case FindingState.RESOLVED:
            return iso(finding.resolved_at or finding.last_seen)
