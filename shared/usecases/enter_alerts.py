"""What an alert goes through before anybody is told: is it news, and is it one of too many?

Alerts are made by many processes. One of something that lasts becomes a finding, and if that stands
already, nobody is told again. From the tenth of a kind within five minutes on they are held back,
and the sweep tells of them in one summary: nothing is lost, it says how many and names some.
"""

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final

from shared.aws.alert_pace import AlertPace
from shared.aws.findings import FindingStore, finding_put
from shared.aws.items import outbox_put
from shared.aws.outbox import busy_until, row_delete, row_put
from shared.aws.table import Item, Put
from shared.domain.finding import Finding, Severity, Sighting, resolve, see, storm_name
from shared.domain.lifecycle import iso
from shared.errors import Conflict
from shared.usecases.context import Control
from shared.usecases.ends import LASTING, SEEN_BY_PASSES

__all__ = ["enter", "gather_held", "is_new"]

_TRIES: Final = 3
_AT_ONCE: Final = 80
_NAMED: Final = 5
_SUMMARY: Final = "summary_of"

log = logging.getLogger("d1fleet")


def is_new(row: Item) -> bool:
    """Say whether nobody has decided yet what becomes of an alert's row."""
    return not (row.get("entered") or row.get("held") or _SUMMARY in row)


def enter(control: Control, row: Item, *, hold: bool = False, mine: bool = False) -> Item | None:
    """Decide about an alert; return its row as it waits to be sent, or None.

    With `hold` it is known to be one of too many; with `mine` the caller sends it now, and nobody
    else does meanwhile. None: it is held back, it is no news, or somebody else decides.
    """
    now, detail = control.now(), row["detail"]
    kind = str(detail["kind"])
    waits = {"entered": True, "busy_until": busy_until(now) if mine else None}
    held = hold or not AlertPace(control.state.table).permit(kind, now)
    try:
        if kind in LASTING and "subject" in detail:
            return _found(control, row, now, waits=None if held else waits)
        if held:
            control.outbox.keep(row, held=True)
            return None
        return control.outbox.keep(row, **waits)
    except Conflict:
        log.info("an alert is decided about by somebody else", extra={"kind": kind})
        return None


def _found(control: Control, row: Item, now: datetime, *, waits: Item | None) -> Item | None:
    """Make a finding of an alert; its message, if there is one, is the alert itself."""
    sighting = _sighting(row["detail"])
    store = FindingStore(control.state.table)
    for _ in range(_TRIES):
        before = store.get(sighting.fingerprint)
        anew = sighting.kind not in SEEN_BY_PASSES
        step = see(_ended(before, now) if anew else before, sighting, now)
        after, told = step.finding, None
        if step.news is not None and waits is not None:
            after, told = after.notified(now), row_put(row, **waits)
        elif step.news is not None:
            after = after.joined(storm_name(after.kind), now)
        try:
            control.state.commit(also=[finding_put(before, after), told or row_delete(row)])
        except Conflict as conflict:
            if not conflict.condition.startswith("finding"):
                raise
            continue
        return told.item if told is not None else None
    raise Conflict("finding is as it was read")


def _ended(finding: Finding | None, now: datetime) -> Finding | None:
    return None if finding is None else resolve(finding, now, "it began anew").finding


def _sighting(detail: Item) -> Sighting:
    return Sighting(
        kind=str(detail["kind"]),
        subject=str(detail["subject"]),
        severity=Severity(detail["severity"]),
        summary=str(detail["summary"]),
        tenant_id=detail.get("tenant_id"),
        database_id=detail.get("database_id"),
        database_name=detail.get("database_name"),
        binding=detail.get("binding"),
    )


def gather_held(control: Control, rows: Iterable[Item]) -> int:
    """Put one summary of each kind in the place of the rows held back; return of how many.

    The summary grows while rows are removed, in the same transactions, and is sent when it is
    whole: one that was left half-way is gone on with.
    """
    relevant = [row for row in rows if row.get("held") or _SUMMARY in row]
    by_kind = sorted(relevant, key=_kind)
    count = 0
    for kind, group in groupby(by_kind, key=_kind):
        of_kind = list(group)
        try:
            count += _gather(
                control,
                kind,
                next((row for row in of_kind if _SUMMARY in row), None),
                [row for row in of_kind if row.get("held")],
            )
        except Conflict:
            log.info("alerts are gathered by somebody else", extra={"kind": kind})
    return count


def _kind(row: Item) -> str:
    return str(row["detail"]["kind"])


def _gather(control: Control, kind: str, summary: Item | None, held: Sequence[Item]) -> int:
    for start in range(0, len(held), _AT_ONCE):
        part = held[start : start + _AT_ONCE]
        write = _grown(control.now(), kind, summary, part)
        control.state.commit(also=[write, *(row_delete(row) for row in part)])
        summary = write.item
    if summary is not None:
        control.outbox.keep(summary, entered=True, **{_SUMMARY: None})
    return len(held)


def _grown(now: datetime, kind: str, summary: Item | None, part: Sequence[Item]) -> Put:
    """Return the write of a summary that tells of more rows than it did, or of the first ones."""
    before: Item = summary[_SUMMARY] if summary is not None else {"count": 0, "named": []}
    details = [row["detail"] for row in part]
    named = [*before["named"], *(str(detail["summary"]) for detail in details)][:_NAMED]
    count = int(before["count"]) + len(part)
    more = f"; and {count - len(named)} more" if count > len(named) else ""
    severities = [Severity(detail["severity"]) for detail in details]
    if summary is not None:
        severities.append(Severity(summary["detail"]["severity"]))
    said: dict[str, Any] = {
        "severity": str(max(severities, key=lambda severity: severity.rank)),
        "summary": f"{count} alerts of one kind: {'; '.join(named)}{more}",
        "members": count,
    }
    state = {_SUMMARY: {"count": count, "named": named}}
    if summary is not None:
        return row_put(summary, detail={**summary["detail"], **said}, **state)
    first = {
        "kind": kind,
        "subject": "(storm)",
        "state": "firing",
        "fingerprint": storm_name(kind),
        "at": iso(now),
    }
    row = outbox_put(now, "alert", f"alert.{kind}", {**first, **said})
    row.item.update(state)
    return row
