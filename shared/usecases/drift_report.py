"""The report of a pass, as it lies in the bucket and scripts read it."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ValidationError

from shared.aws.runs import Runs
from shared.domain.finding import FindingState, Sighting
from shared.domain.lifecycle import iso
from shared.errors import Permanent
from shared.usecases.drift_run import Planned, Run

__all__ = ["read_report", "report_of", "with_state"]


class _Row(BaseModel):
    """Hold what is needed of a finding in a report."""

    fingerprint: str
    state: str
    repaired: bool


class _Report(BaseModel):
    """Hold what is needed of a report, by whoever shows it or sees to its repairs."""

    finished_at: str
    seconds: float
    rest_calls: int
    compared: dict[str, int]
    notes: list[str]
    repaired: int
    left: int
    findings: list[_Row]


def report_of(run: Run, states: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """Return the report of a pass; `states` are those of its findings by fingerprint."""
    found = Counter(seen.kind for seen in run.sightings())
    return {
        "run": run.run_id,
        "dry_run": run.dry,
        "began_at": iso(run.began),
        "finished_at": iso(now),
        "seconds": round(run.seconds, 3),
        "rest_calls": run.calls,
        "compared": run.compared,
        "compared_kinds": [str(kind) for kind in run.kinds()],
        "notes": run.notes,
        "found": dict(sorted(found.items())),
        "repaired": run.repaired,
        "left": run.left,
        "findings": [
            *(_finding(planned, states) for planned in run.planned),
            *(_of_worker(seen, run, states) for seen in run.workers),
        ],
    }


def read_report(runs: Runs, key: str) -> dict[str, Any]:
    """Return a report that was stored.

    Raises:
        Permanent: it is gone, or was written by a version that wrote it otherwise.
        Transient: the bucket does not answer.
    """
    report = runs.read(key)
    try:
        _Report.model_validate(report)
    except ValidationError as error:
        raise Permanent(
            f"the report {key} is another version's: run `d1fleet reconcile`"
        ) from error
    return report


def with_state(report: dict[str, Any], mended: set[str]) -> dict[str, Any]:
    """Return a report in which some findings are resolved: their repairs were seen to help."""
    findings = [
        {**each, "state": str(FindingState.RESOLVED)} if each["fingerprint"] in mended else each
        for each in report["findings"]
    ]
    left = sum(each["state"] != FindingState.RESOLVED for each in findings)
    return {**report, "left": left, "findings": findings}


def _finding(planned: Planned, states: Mapping[str, str]) -> dict[str, Any]:
    later = iso(planned.later) if planned.later else None
    row = _row(planned.drift.sighting(), states)
    return {**row, "repaired": bool(planned.repaired), "repair_at": later}


def _of_worker(seen: Sighting, run: Run, states: Mapping[str, str]) -> dict[str, Any]:
    row = _row(seen, states)
    return {**row, "repaired": seen.subject in run.marked, "repair_at": None}


def _row(seen: Sighting, states: Mapping[str, str]) -> dict[str, Any]:
    return {
        "kind": seen.kind,
        "severity": str(seen.severity),
        "tenant_id": seen.tenant_id,
        "database_id": seen.database_id,
        "database_name": seen.database_name,
        "binding": seen.binding,
        "fingerprint": seen.fingerprint,
        "repair": seen.repair,
        "state": states.get(seen.fingerprint, str(FindingState.OPEN)),
        "summary": seen.summary,
        "evidence": dict(seen.evidence),
    }
