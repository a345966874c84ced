"""Alerts: rows of the outbox with a stable fingerprint, so that one thing alerts once."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from shared.aws.items import outbox_put
from shared.aws.table import Put
from shared.domain.finding import Finding, News, fingerprint
from shared.domain.lifecycle import iso

__all__ = ["alert_put", "news_put"]


def alert_put(
    now: datetime, *, kind: str, severity: str, subject: str, summary: str, **more: Any
) -> Put:
    """Return the write of an alert about one subject, for the transaction that is the reason.

    The fingerprint comes from kind and subject, never from the text, which may change.
    """
    detail = {
        "kind": kind,
        "severity": severity,
        "subject": subject,
        "state": "firing",
        "fingerprint": fingerprint(kind, subject),
        "summary": summary,
        "at": iso(now),
        **more,
    }
    return outbox_put(now, "alert", f"alert.{kind}", detail)


def news_put(now: datetime, finding: Finding, news: News, *, not_to: Collection[str] = ()) -> Put:
    """Return the write of the alert that tells the news of a finding, for its own transaction.

    `not_to` names channels that are not to be bothered with it.
    """
    facts = finding.model_dump(
        include={
            "kind",
            "severity",
            "subject",
            "fingerprint",
            "summary",
            "tenant_id",
            "database_id",
            "database_name",
            "binding",
            "repair",
            "evidence",
            "first_seen",
            "last_seen",
            "sightings",
            "members",
            "resolved_why",
        },
        exclude_none=True,
    )
    state = "resolved" if news is News.RESOLVED else "firing"
    detail = {**facts, "state": state, "news": str(news), "at": iso(now)}
    row = outbox_put(now, "alert", f"alert.{finding.kind}", detail)
    row.item["entered"] = True
    if not_to:
        row.item["not_to"] = sorted(not_to)
    return row
