"""Send alerts through channels: what a channel took is written down before the next is asked.

A channel that fails delays nobody else, and repeats nothing at the others. One that is busy is left
alone as long as it asked for; what it will never take is dropped for it alone.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from shared.aws.alert_pace import AlertPace
from shared.aws.outbox import busy_until
from shared.aws.table import Item
from shared.domain.alert import Alert, Channel
from shared.domain.channel_turns import Turns
from shared.domain.lifecycle import iso
from shared.errors import Conflict, Permanent, Transient
from shared.usecases.context import Control

__all__ = ["SendAlerts"]

PATIENCE: Final = timedelta(minutes=15)
"""So long a channel may be busy before that is a failure of its own."""
GIVEN_UP: Final = timedelta(days=1)

log = logging.getLogger("d1fleet")


@dataclass
class SendAlerts:
    """Send rows of the outbox, one run long; afterwards `failing` has channels and reasons.

    `whole`: `channels` are all that there are, so that a row which all of them had is removed. Rows
    come oldest first: what a channel could not be told keeps it from hearing what became of that.
    `turns` outlast a run where several share an invocation.
    """

    control: Control
    channels: Sequence[Channel]
    whole: bool
    turns: Turns = field(default_factory=Turns)
    sent: int = 0
    failing: dict[str, str] = field(default_factory=dict)
    working: set[str] = field(default_factory=set)
    _closed: dict[str, bool] = field(default_factory=dict)
    _behind: set[tuple[str, str]] = field(default_factory=set)

    def __call__(self, row: Item) -> None:
        """Send one row that `enter` let pass to every channel that did not have it yet.

        Raises:
            Transient: the table does not answer.
        """
        now = self.control.now()
        try:
            self._send(row, now)
        except Conflict:
            log.info("an alert is sent by somebody else", extra={"id": str(row["sk"])})

    def rest(self) -> None:
        """Leave the channels that failed alone until the next run."""
        self._closed.update(dict.fromkeys(self.failing, True))

    def claim(self, row: Item) -> Item | None:
        """Take a row for oneself; None if somebody else is at it or was, or nobody can be asked."""
        now = self.control.now()
        left = self._left(row)
        if not left:
            return row
        if str(row.get("busy_until", "")) <= iso(now) and any(
            self._may_ask(channel.name, row, now) for channel in left
        ):
            try:
                return self.control.outbox.keep(row, busy_until=busy_until(now))
            except Conflict:
                log.info("an alert is sent by somebody else", extra={"id": str(row["sk"])})
        self._behind.update(_ways(left, row))
        return None

    def _send(self, row: Item, now: datetime) -> None:
        alert = Alert.of(row["detail"])
        for channel in self._left(row):
            if not self._may_ask(channel.name, row, now):
                self._behind.update(_ways([channel], row))
                continue
            ended = self._try(channel, alert, now)
            if ended is None and self._too_old(row, alert, now):
                ended = "dropped: it failed for a day"
                log.error("an alert is given up", extra={"channel": channel.name, "id": alert.id})
            if ended is not None:
                through = {**row.get("through", {}), channel.name: ended}
                row = self.control.outbox.keep(row, through=through)
            else:
                self._behind.update(_ways([channel], row))
        if self.whole and not self._left(row):
            self.control.outbox.remove(row)
            self.sent += 1
        elif "busy_until" in row:
            self.control.outbox.keep(row, busy_until=None)

    def _left(self, row: Item) -> list[Channel]:
        """Return the channels that are still to be asked."""
        had = {*row.get("through", {}), *row.get("not_to", [])}
        return [channel for channel in self.channels if channel.name not in had]

    def _try(self, channel: Channel, alert: Alert, now: datetime) -> str | None:
        """Return how a channel ended with an alert; None if it is to be asked again."""
        facts = {"channel": channel.name, "kind": alert.kind, "id": alert.id}
        asked_at, failed = self.control.now(), False
        try:
            channel.send(alert)
        except Permanent as error:
            log.error("a channel refuses an alert: %s", error.reason, extra=facts)  # noqa: TRY400 - told
            self.failing[channel.name] = error.reason
            return f"dropped: {error.reason}"
        except Transient as error:
            log.warning("a channel did not take an alert: %s", error, extra=facts)
            failed = True
            busy = error.retry_after is not None
            if not busy or now - alert.at > PATIENCE:
                self.failing[channel.name] = str(error)
            if error.retry_after is not None:
                until = now + timedelta(seconds=error.retry_after)
                AlertPace(self.control.state.table).close(channel.name, until)
                self._closed[channel.name] = True
            return None
        finally:
            self.turns.note(channel.name, self.control.now() - asked_at, failed=failed)
        self.working.add(channel.name)
        return "taken"

    def _may_ask(self, name: str, row: Item, now: datetime) -> bool:
        """Say whether a channel can be asked to take an alert.

        Not as long as an earlier one of the same thing waits for it: told of its end first and of
        its beginning then, whoever counts what burns would count it for ever.
        """
        way = (name, str(row["detail"]["fingerprint"]))
        return way not in self._behind and not self._is_closed(name, now)

    def _is_closed(self, name: str, now: datetime) -> bool:
        if self.turns.had_enough(name):
            return True
        if name not in self._closed:
            until = AlertPace(self.control.state.table).closed_until(name)
            self._closed[name] = until is not None and until > now
        return self._closed[name]

    @staticmethod
    def _too_old(row: Item, alert: Alert, now: datetime) -> bool:
        """Say whether a channel failed for so long that others, who took it, must do."""
        took = "taken" in row.get("through", {}).values()
        return took and now - alert.at > GIVEN_UP


def _ways(channels: Sequence[Channel], row: Item) -> set[tuple[str, str]]:
    """Return what each channel has to hear of first, by channel and fingerprint."""
    return {(channel.name, str(row["detail"]["fingerprint"])) for channel in channels}
