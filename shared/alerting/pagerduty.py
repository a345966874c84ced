"""Alerts to PagerDuty, by its Events API v2: a trigger opens an incident, a resolve ends it.

The `dedup_key` is the finding's, so a repeat folds into the open incident. PagerDuty takes 512 KB,
summaries of 1,024 characters and keys of 255.
"""

import json
from dataclasses import dataclass
from typing import Any, Final

from shared.alerting.posting import Poster, Refused, Url
from shared.domain.alert import Alert
from shared.errors import Permanent

__all__ = ["PagerDuty", "pagerduty_event"]

_SUMMARY: Final = 1024
_PATH: Final = "/v2/enqueue"


@dataclass(frozen=True)
class PagerDuty:
    """Send alerts as events; `fleet` keeps those of several fleets with one key apart."""

    poster: Poster
    url: str
    key: Url
    fleet: str
    name: str = "pagerduty"

    def send(self, alert: Alert) -> None:
        """Send one event.

        Raises:
            Transient: PagerDuty is busy or not reached.
            Permanent: PagerDuty takes no event with this key, or not this one.
        """
        event = {"routing_key": self.key(), **pagerduty_event(alert, self.fleet)}
        bare = self.url.rstrip("/")
        url = bare + _PATH if bare.count("/") == 2 else self.url
        try:
            self.poster.post(url, json.dumps(event).encode(), {"Content-Type": "application/json"})
        except Refused as refused:
            # Its text may quote the event, and so the key.
            raise Permanent(
                f"PagerDuty refuses the event ({refused.status}): see whether alerts/pagerduty-key "
                "is the integration key of a service"
            ) from None


def pagerduty_event(alert: Alert, fleet: str) -> dict[str, Any]:
    """Return the event of an alert, without the routing key."""
    event: dict[str, Any] = {
        "event_action": "resolve" if alert.resolved else "trigger",
        "dedup_key": f"{fleet}/{alert.fingerprint}",
        "payload": {
            "summary": alert.title[:_SUMMARY],
            "source": f"d1fleet/{fleet}",
            "severity": str(alert.severity),
            "timestamp": alert.facts["at"],
            "class": alert.kind,
            "custom_details": dict(alert.facts),
        },
        "client": "d1fleet",
    }
    if component := alert.facts.get("database_name") or alert.facts.get("tenant_id"):
        event["payload"]["component"] = component
    return event
