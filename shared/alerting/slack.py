"""Alerts to a Slack channel, through an incoming webhook whose URL is the secret.

Limits as Slack documents Block Kit: header 150 characters, section 3,000, a field 2,000 and ten of
them. What tenants chose (names, ids, texts of errors) is escaped, so that nobody can ring a channel
by calling himself `<!channel>`.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from shared.alerting.posting import Poster, Refused, Url
from shared.domain.alert import LABELS, Alert
from shared.errors import Permanent

__all__ = ["Slack", "slack_message"]

_HEADER: Final = 150
_SECTION: Final = 3000
_FIELD: Final = 2000
_FIELDS: Final = 10
_WORD: Final = re.compile(r"[a-z_]{3,40}")
_SIGNS: Final = {"info": "💬", "warning": "⚠️", "error": "🔴", "critical": "🚨"}


@dataclass(frozen=True)
class Slack:
    """Post alerts to an incoming webhook."""

    poster: Poster
    url: Url
    name: str = "slack"

    def send(self, alert: Alert) -> None:
        """Post one alert. Slack tells no repeats: an alert whose answer got lost comes twice.

        Raises:
            Transient: Slack is busy or not reached.
            Permanent: the webhook is gone, or Slack does not take the message.
        """
        body = json.dumps(slack_message(alert)).encode()
        try:
            self.poster.post(self.url(), body, {"Content-Type": "application/json"})
        except Refused as refused:
            # Slack answers with one word (`no_service`); another text is not Slack's.
            word = refused.text.strip()
            said = f" {word}" if _WORD.fullmatch(word) else ""
            raise Permanent(
                f"Slack refuses the message ({refused.status}{said}): see whether the webhook of "
                "alerts/slack-url still exists"
            ) from None


def slack_message(alert: Alert) -> dict[str, Any]:
    """Return the body of a message: `text` for notifications, blocks for the channel."""
    fields = [
        {"type": "mrkdwn", "text": _cut(f"*{label}*\n{_escaped(alert.facts[name])}", _FIELD)}
        for name, label in LABELS.items()
        if name in alert.facts
    ][:_FIELDS]
    sign = "✅" if alert.resolved else _SIGNS[alert.severity]
    context = f"`{alert.fingerprint}` · {_escaped(alert.kind)} · {alert.facts['at']}"
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {
                "type": "plain_text",
                "text": f"{alert.mark} {sign} {alert.kind}"[:_HEADER],
                "emoji": True,
            },
        },
        {
            "type": "section",
            "text": {"type": "mrkdwn", "text": _cut(_escaped(alert.summary), _SECTION)},
        },
        {"type": "section", "fields": fields},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(context, _FIELD)}]},
    ]
    text = _cut(_escaped(alert.title), _SECTION - 50)
    return {"text": text + f" ({alert.fingerprint})", "blocks": blocks}


def _escaped(value: object) -> str:
    text = str(value)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(escaped: str, most: int) -> str:
    """Return a text that is short enough, never with half an escape at its end."""
    if len(escaped) <= most:
        return escaped
    return re.sub(r"&[a-z]{0,3}$", "", escaped[: most - 1]) + "…"
