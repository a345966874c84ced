"""Alerts to any receiver, signed as Standard Webhooks (https://www.standardwebhooks.com).

The `webhook-id` is the alert's own: the receiver tells repeats by it. The signature is of the
moment of sending, as the specification asks for.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.alerting.posting import Poster, Refused, Url
from shared.domain.alert import Alert
from shared.domain.signing import signed_headers
from shared.errors import Permanent

__all__ = ["Webhook", "webhook_body"]


@dataclass(frozen=True)
class Webhook:
    """Post signed alerts to a URL."""

    poster: Poster
    url: str
    secret: Url
    clock: Callable[[], datetime]
    name: str = "webhook"

    def send(self, alert: Alert) -> None:
        """Post one alert.

        Raises:
            Transient: the receiver is busy or not reached.
            Permanent: the receiver refuses it, or the secret can't sign.
        """
        body = json.dumps(webhook_body(alert)).encode()
        signed = signed_headers(
            self.secret(),
            body,
            self.clock(),
            f"msg_{alert.id}",
            called="alerts/webhook-secret",
        )
        try:
            self.poster.post(self.url, body, {"Content-Type": "application/json", **signed})
        except Refused as refused:
            raise Permanent(
                f"the receiver refuses the alert ({refused.status}): see ALERT_WEBHOOK_URL and its "
                "secret"
            ) from None


def webhook_body(alert: Alert) -> dict[str, Any]:
    """Return what is posted: type, time, and the facts of the alert."""
    status = "resolved" if alert.resolved else "firing"
    facts = dict(alert.facts)
    return {
        "type": f"alert.{status}",
        "timestamp": facts["at"],
        "data": {
            **facts,
            "key": alert.fingerprint,
            "status": status,
            "message": alert.title,
            "tenant": facts.get("tenant_id"),
            "first_seen": facts.get("first_seen", facts["at"]),
            "last_seen": facts.get("last_seen", facts["at"]),
            "count": facts.get("sightings", 1),
        },
    }
