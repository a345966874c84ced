"""Keep findings: what a pass saw is written down, and each news of it is told once.

Called by every pass over the fleet with what it saw. The news are rows of the outbox, written in
the transaction that changes the finding: two passes at once tell once, and one that is killed
leaves both or none. Sending them is the outbox' turn (`usecases/send_alerts.py`).
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from shared.aws.findings import FindingStore, finding_put
from shared.aws.table import Write
from shared.domain.finding import Finding, News, Sighting, resolve
from shared.domain.findings_pass import Kept, plan_pass, unique
from shared.errors import Conflict
from shared.usecases.alerts import news_put
from shared.usecases.context import Control

__all__ = ["CHANNEL_FAILING", "FindingsReport", "KeepFindings", "ack", "resolve_by_hand"]

CHANNEL_FAILING: Final = "alert_channel_failing"
"""The kind of finding that a channel of alerts is; its subject is the channel's name."""

_ROUNDS: Final = 8
_AT_ONCE: Final = 25
"""Findings in one transaction, each with its row of the outbox: DynamoDB takes 100 writes."""

log = logging.getLogger("d1fleet")


@dataclass
class FindingsReport:
    """Count what a pass made of the findings; `findings` are those that stand now.

    `notified` counts messages, `summarised` the findings that one message told of together.
    """

    opened: int = 0
    worse: int = 0
    reminded: int = 0
    resolved: int = 0
    notified: int = 0
    summarised: int = 0
    findings: tuple[Finding, ...] = ()

    def add(self, change: Kept) -> None:
        """Count a change that was written."""
        self.notified += change.news is not None
        if change.after.members:
            return
        stood = change.before is not None and change.before.standing
        self.summarised += change.summarised
        self.opened += change.after.standing and not stood
        self.resolved += stood and not change.after.standing
        self.reminded += change.news is News.REMINDER
        self.worse += change.news is News.WORSE


@dataclass(frozen=True)
class KeepFindings:
    """Write down what passes see."""

    control: Control

    @property
    def store(self) -> FindingStore:
        """Return what is kept of findings."""
        return FindingStore(self.control.state.table)

    def __call__(
        self,
        seen: Sequence[Sighting],
        *,
        compared: Collection[str],
        trace: str,
        over: Mapping[str, str] | None = None,
        standing: Iterable[Finding] | None = None,
    ) -> FindingsReport:
        """Write down what a real pass saw, and put the news of it into the outbox.

        Findings of the kinds in `compared` that it did not see are over, and so are those whose
        fingerprints `over` has, with the reason. What stands and was not looked at is reminded of.
        `standing` is what stands, from the caller who read it just now.
        """
        now = self.control.now()
        todo = unique(seen)
        names = {sighting.fingerprint for sighting in todo}
        known = self.store.standing() if standing is None else standing
        kept = {finding.fingerprint: finding for finding in known}
        gone = {
            finding.fingerprint: "not seen any more"
            for finding in kept.values()
            if finding.kind in compared and finding.fingerprint not in names
        } | dict(over or {})
        report = FindingsReport()
        at_once = _AT_ONCE
        for _ in range(_ROUNDS):
            plan = plan_pass(kept, todo, gone, now)
            refused = self._write(plan, at_once, now, kept, report)
            if not refused:
                break
            for name in refused:
                self._read_again(name, kept)
                if name in kept and kept[name].last_seen > now:
                    gone.pop(name, None)
            todo = [sighting for sighting in todo if sighting.fingerprint in refused]
            gone = {name: why for name, why in gone.items() if name in refused}
            at_once = 1
        else:
            log.warning("findings change too fast; the next pass goes on", extra={"trace": trace})
        report.findings = tuple(self._plain(kept.values()))
        return report

    def standing(self, kinds: Collection[str] | None = None) -> Iterator[Finding]:
        """Yield the findings that have not ended, of some kinds or of all. It is a hint."""
        for finding in self._plain(self.store.standing()):
            if kinds is None or finding.kind in kinds:
                yield finding

    @staticmethod
    def _plain(findings: Collection[Finding] | Iterator[Finding]) -> Iterator[Finding]:
        """Yield findings that stand, without those that only stand for a storm."""
        return (one for one in findings if one.standing and not one.members)

    def _write(
        self,
        plan: Sequence[Kept],
        at_once: int,
        now: datetime,
        kept: dict[str, Finding],
        report: FindingsReport,
    ) -> set[str]:
        """Write a plan; return the fingerprints of what somebody else had changed meanwhile."""
        refused: set[str] = set()
        for start in range(0, len(plan), at_once):
            part = plan[start : start + at_once]
            try:
                self.control.state.commit(also=[w for change in part for w in _writes(change, now)])
            except Conflict:
                refused |= {change.after.fingerprint for change in part}
                continue
            for change in part:
                kept[change.after.fingerprint] = change.after
                report.add(change)
        return refused

    def _read_again(self, name: str, kept: dict[str, Finding]) -> None:
        found = self.store.get(name)
        if found is None:
            kept.pop(name, None)
        else:
            kept[name] = found


def _writes(change: Kept, now: datetime) -> Iterator[Write]:
    yield finding_put(change.before, change.after)
    if change.news is not None:
        yield news_put(now, change.after, change.news, not_to=_not_to(change.after, change.news))


def _not_to(finding: Finding, news: News) -> set[str]:
    """Return the channel that fails, if it is not to be told so.

    Only the reminders are, to see whether it works again; whoever took one has to hear the end, or
    PagerDuty would have an open incident for ever.
    """
    if finding.kind != CHANNEL_FAILING or news is News.REMINDER:
        return set()
    return set() if news is News.RESOLVED and finding.reminded else {finding.subject}


def ack(control: Control, fingerprint: str) -> Finding | None:
    """Send no more reminders of a finding, and of all that it stands for; None if there is none.

    Raises:
        Conflict: it changed each time it was read.
    """
    return _by_hand(control, fingerprint, lambda one, now: Kept(one, one.acked(now)))


def resolve_by_hand(control: Control, fingerprint: str) -> Finding | None:
    """End a finding, and all that it stands for; a pass that sees it again opens it anew.

    None if there is none.

    Raises:
        Conflict: it changed each time it was read.
    """

    def end(finding: Finding, now: datetime) -> Kept:
        step = resolve(finding, now, f"resolved by {control.who}")
        return Kept(finding, step.finding, step.news)

    return _by_hand(control, fingerprint, end)


def _by_hand(
    control: Control, fingerprint: str, change: Callable[[Finding, datetime], Kept]
) -> Finding | None:
    store = FindingStore(control.state.table)
    finding = store.get(fingerprint)
    if finding is None:
        return None
    # What it stands for comes first: were this cut off, saying it again does the rest.
    for member in list(store.standing()) if finding.members else []:
        if member.storm == fingerprint:
            _apply(control, store, member.fingerprint, change)
    return _apply(control, store, fingerprint, change)


def _apply(
    control: Control,
    store: FindingStore,
    fingerprint: str,
    change: Callable[[Finding, datetime], Kept],
) -> Finding | None:
    for _ in range(_ROUNDS):
        finding = store.get(fingerprint)
        if finding is None:
            return None
        now = control.now()
        changed = change(finding, now)
        if changed.after is finding:
            return finding
        try:
            control.state.commit(also=list(_writes(changed, now)))
        except Conflict:
            continue
        return changed.after
    raise Conflict("finding is as it was read")
