"""Tell people: what was just written down at once, and everything else with each sweep.

Whoever alerts sends to the topic at once, and leaves the other channels to the reconciler: a
function that makes databases waits for no chat server, and needs none of its secrets.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.aws.table import Item, Put
from shared.domain.alert import Channel
from shared.domain.channel_turns import Turns
from shared.domain.finding import STORM, Finding, Severity, Sighting
from shared.errors import Transient
from shared.usecases.context import Control
from shared.usecases.ends import ends
from shared.usecases.enter_alerts import enter, gather_held, is_new
from shared.usecases.findings import CHANNEL_FAILING, KeepFindings
from shared.usecases.send_alerts import SendAlerts

__all__ = ["Tell", "TellReport", "tell_now"]

log = logging.getLogger("d1fleet")


def tell_now(control: Control, alert: Put) -> None:
    """Send an alert that was just committed to the topic; what is left of it, the sweep sends."""
    try:
        row = enter(control, dict(alert.item), mine=True)
        if row is not None:
            SendAlerts(control, (control.outbox.topic,), whole=False)(row)
    except Transient as error:
        log.warning("an alert was not sent, the sweep will: %s", error)


@dataclass
class TellReport:
    """Count what was told; `failing` has the channels that failed, and why."""

    sent: int = 0
    held: int = 0
    resolved: int = 0
    reminded: int = 0
    failing: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Tell:
    """Send every alert that waits, through every channel.

    `turns` are those of the invocation, where it tells more than once.
    """

    control: Control
    channels: Sequence[Channel]
    turns: Turns = field(default_factory=Turns)

    def __call__(self, trace: str) -> TellReport:
        """Decide about new alerts, end what is over, remind of the rest, and send it all.

        Raises:
            Transient: the table does not answer; the next run does the rest.
        """
        report = TellReport()
        rows = self._rows()
        crowds = Counter(str(row["detail"]["kind"]) for row in rows if is_new(row))
        for row in rows:
            if is_new(row):
                enter(self.control, row, hold=crowds[str(row["detail"]["kind"])] >= STORM)
        report.held = gather_held(self.control, self._rows())
        keep = KeepFindings(self.control)
        standing = list(keep.store.standing())  # once: there may be thousands
        over = ends(self.control, standing) | self._removed(standing)
        kept = keep((), compared=(), over=over, trace=trace, standing=standing)
        report.resolved, report.reminded = kept.resolved, kept.reminded
        send = SendAlerts(self.control, self.channels, whole=True, turns=self.turns)
        self._send(send)
        report.failing = dict(send.failing)
        send.rest()
        if self._note_channels(send, kept.findings, trace):
            self._send(send)
        report.sent = send.sent
        return report

    def _rows(self) -> list[Item]:
        return [row for row in self.control.outbox.waiting() if row["kind"] == "alert"]

    def _send(self, send: SendAlerts) -> None:
        for row in self._rows():
            mine = send.claim(row) if row.get("entered") else None
            if mine is not None:
                send(mine)

    def _removed(self, standing: Sequence[Finding]) -> dict[str, str]:
        """Return by fingerprint why findings of channels that nobody chose any more are over."""
        names = {channel.name for channel in self.channels}
        return {
            finding.fingerprint: "it is no channel any more"
            for finding in standing
            if finding.kind == CHANNEL_FAILING and finding.subject not in names
        }

    def _note_channels(self, send: SendAlerts, standing: Sequence[Finding], trace: str) -> bool:
        """Make findings of the channels that fail, end those of channels that work again."""
        seen = [
            Sighting(
                kind=CHANNEL_FAILING,
                subject=name,
                severity=Severity.ERROR,
                summary=f"alerts do not get through to {name}: {reason}",
            )
            for name, reason in send.failing.items()
        ]
        known = [finding for finding in standing if finding.kind == CHANNEL_FAILING]
        work = send.working - send.failing.keys()
        over = {
            finding.fingerprint: "it takes alerts again"
            for finding in known
            if finding.subject in work
        }
        if not seen and not over:
            return False
        keep = KeepFindings(self.control)
        return keep(seen, compared=(), over=over, trace=trace, standing=known).notified > 0
