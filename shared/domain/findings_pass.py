"""What one look at the fleet makes of all findings, and what of it people have to hear.

Called by `usecases/findings.py` for what a pass saw, and by nothing but time in between. It tells
level by level, not event by event: what a pass that was killed wrote down but never told is told by
the next one, whoever runs it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.finding import (
    STORM,
    STORM_WITHIN,
    Finding,
    FindingState,
    News,
    Sighting,
    Step,
    remind,
    resolve,
    see,
    storm_name,
    storm_of,
)

__all__ = ["Kept", "plan_pass", "unique"]

Findings = Mapping[str, Finding]

_FIRING = frozenset({News.OPENED, News.WORSE, News.REMINDER})


@dataclass(frozen=True)
class Kept:
    """Hold one change of what is kept: `before` is None for what was never seen.

    `news` is what people hear of it in a message of its own; `summarised`, that they hear of it in
    a storm's.
    """

    before: Finding | None
    after: Finding
    news: News | None = None
    summarised: bool = False


def unique(seen: Iterable[Sighting]) -> list[Sighting]:
    """Return one sighting for each finding, the worst where there are several."""
    found: dict[str, Sighting] = {}
    for sighting in seen:
        other = found.get(sighting.fingerprint)
        if other is None or sighting.severity.rank > other.severity.rank:
            found[sighting.fingerprint] = sighting
    return list(found.values())


def plan_pass(
    kept: Findings, seen: Sequence[Sighting], gone: Mapping[str, str], now: datetime
) -> list[Kept]:
    """Return what is to be written, in this order: the storms come after what they stand for.

    `kept` are the findings by fingerprint, all that stand and whatever else was read; `seen` has
    one sighting for each finding at most; `gone` says by fingerprint why a finding is over.
    """
    steps = {
        sighting.fingerprint: see(kept.get(sighting.fingerprint), sighting, now)
        for sighting in seen
    }
    for name, finding in kept.items():
        if finding.members or not finding.standing or name in steps:
            continue
        step = resolve(finding, now, gone[name]) if name in gone else remind(finding, now)
        if step.finding is not finding:
            steps[name] = step
    by_kind: dict[str, dict[str, Step]] = defaultdict(dict)
    for name, step in steps.items():
        by_kind[step.finding.kind][name] = step
    kinds = by_kind.keys() | {finding.kind for finding in kept.values()}
    plain: list[Kept] = []
    storms: list[Kept] = []
    for kind in sorted(kinds):
        of_kind = {name: one for name, one in kept.items() if one.kind == kind}
        changes = list(_told(kind, of_kind, by_kind[kind], now))
        plain += changes
        storms += _storm(kind, of_kind, changes, now)
    return plain + storms


def _told(kind: str, kept: Findings, steps: Mapping[str, Step], now: datetime) -> Iterator[Kept]:
    """Yield the changes of a kind, told one by one or, where they are many, left to a storm."""
    storm = storm_name(kind)
    summary = kept.get(storm)
    fresh = [name for name, step in steps.items() if step.news in _FIRING]
    lately = sum(1 for one in kept.values() if one.told and not one.members and _lately(one, now))
    many = len(fresh) + lately >= STORM
    goes_on = summary is not None and summary.standing and _lately(summary, now)
    for name, step in steps.items():
        before, after = kept.get(name), step.finding
        if step.news is News.RESOLVED:
            yield Kept(before, after, step.news)
        elif step.news is None:
            yield Kept(before, after)
        elif many or (goes_on and step.news is News.OPENED):
            yield Kept(before, after.joined(storm, now), summarised=True)
        else:
            # Told by itself it leaves the storm: its end has to be told by itself too.
            yield Kept(before, after.notified(now).model_copy(update={"storm": None}), step.news)


def _storm(kind: str, kept: Findings, changes: Sequence[Kept], now: datetime) -> Iterator[Kept]:
    """Yield the change of the finding that stands for all of a kind, if it changes."""
    name = storm_name(kind)
    summary = kept.get(name)
    stands = summary is not None and summary.standing
    changed = {change.after.fingerprint: change.after for change in changes}
    members = [one for one in {**kept, **changed}.values() if one.standing and one.storm == name]
    if not members:
        if summary is not None and stands:
            step = resolve(summary, now, "none of them is left")
            yield Kept(summary, step.finding, step.news)
        return
    step = see(summary, storm_of(kind, members), now)
    news = step.news
    if news is News.REMINDER and all(one.state is FindingState.ACKED for one in members):
        news = None
    if news is None and summary is not None and not _lately(summary, now):
        # Only ten at once join, so these are news, unless they are still the same burst.
        joined = any(change.summarised for change in changes)
        news = News.WORSE if joined or len(members) > summary.members else None
    # Who joined the burst is not counted before it is told: it would never be news again.
    if news is None and summary is not None and stands and summary.members <= len(members):
        return
    after = step.finding.model_copy(update={"members": len(members)})
    yield Kept(summary, after if news is None else after.notified(now), news)


def _lately(finding: Finding, now: datetime) -> bool:
    at = finding.last_notified
    return at is not None and now - at < STORM_WITHIN
