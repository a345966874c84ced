"""Alerts: rows of the outbox with a stable fingerprint, so that one thing alerts once."""

import hashlib
from datetime import datetime
from typing import Any

from shared.aws.items import outbox_put
from shared.aws.table import Put
from shared.domain.lifecycle import iso

__all__ = ["alert_put"]


def alert_put(
    now: datetime, *, kind: str, severity: str, subject: str, summary: str, **more: Any
) -> Put:
    """Return the write of an alert about one subject.

    The fingerprint comes from kind and subject, never from the text, which may change.
    """
    fingerprint = hashlib.sha256(f"{kind}\n{subject}".encode()).hexdigest()[:32]
    detail = {
        "kind": kind,
        "severity": severity,
        "state": "firing",
        "fingerprint": fingerprint,
        "summary": summary,
        "at": iso(now),
        **more,
    }
    return outbox_put(now, "alert", f"alert.{kind}", detail)
