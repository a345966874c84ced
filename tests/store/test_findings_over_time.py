"""Findings over several openings, in the table: what comes back meets what is kept of the last."""

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from shared.aws.findings import FindingStore, finding_put
from shared.aws.fleet import FleetStore
from shared.aws.outbox import Outbox
from shared.aws.pools import Pools
from shared.aws.queues import Queues
from shared.aws.state import State
from shared.aws.table import Table
from shared.domain.finding import (
    Finding,
    Severity,
    Sighting,
    see,
    storm_name,
)
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings, resolve_by_hand

KIND = "schema_drift"
Race = Callable[[Callable[[int], Any]], list[Any]]


def sighting(number: int = 1, severity: Severity = Severity.WARNING, **more: Any) -> Sighting:
    return Sighting(KIND, f"db-{number}", severity, f"the schema of {number} is another", **more)


@pytest.fixture
def store(table: Table) -> FindingStore:
    return FindingStore(table)


@pytest.fixture
def clock(world: Any) -> list[datetime]:
    return [world.now]


@pytest.fixture
def control(table: Table, clock: list[datetime]) -> Control:
    """A control plane that nothing leaves: what it tells stays in its outbox."""
    return Control(
        settings=cast("Settings", None),
        now=lambda: clock[0],
        state=State(table),
        pools=Pools(table),
        fleet=FleetStore(table),
        queues=cast("Queues", None),
        outbox=cast("Outbox", None),
        who="test",
    )


@pytest.fixture
def told(table: Table) -> Callable[[], Counter[tuple[str, str]]]:
    """Count what waits in the outbox, by fingerprint and news."""

    def count() -> Counter[tuple[str, str]]:
        rows = [row["detail"] for row in table.query("OUTBOX")]
        return Counter((str(detail["fingerprint"]), str(detail["news"])) for detail in rows)

    return count


def kept(state: State, now: datetime, **more: Any) -> Finding:
    finding = see(None, sighting(**more), now).finding.notified(now)
    state.commit(also=[finding_put(None, finding)])
    return finding


def names(findings: Iterator[Finding]) -> list[str]:
    return [finding.subject for finding in findings]


def test_a_finding_is_read_as_it_was_written(store: FindingStore, state: State, world: Any) -> None:
    """Numbers, blanks and letters of evidence come back as they were: a repair reads them."""
    evidence = {"size": 9_007_199_254_740_993, "none": None, "text": "é<&>𝄞", "empty": "", "n": "7"}
    written = kept(
        state,
        world.now,
        tenant_id="org|1",
        database_id="d1",
        database_name="f-1",
        binding="DB_1",
        repair="rebind",
        evidence=evidence,
    )
    read = store.get(written.fingerprint)
    assert read == written
    assert read is not None
    assert dict(read.evidence) == evidence
    assert not any(isinstance(value, Decimal) for value in read.evidence.values())
    assert store.get("0" * 32) is None


def test_more_findings_than_a_page_are_all_found(
    store: FindingStore, state: State, world: Any
) -> None:
    """A page of the index takes 1 MB: what is behind it stands as well."""
    text = "x" * 30_000
    for number in range(40):
        kept(state, world.now, number=number, repair=text)
    assert len(set(names(store.standing()))) == 40


def test_eight_that_see_the_end_tell_it_once(
    control: Control, told: Callable[[], Counter[Any]], race: Race
) -> None:
    """The end is written once, with its message."""
    KeepFindings(control)([sighting()], compared={KIND}, trace="t")
    reports = race(lambda _: KeepFindings(control)([], compared={KIND}, trace="t"))
    name = sighting().fingerprint
    assert told() == {(name, "opened"): 1, (name, "resolved"): 1}
    assert sum(report.resolved for report in reports) == 1


def test_what_ended_long_ago_opens_anew_though_no_index_shows_it(
    control: Control, clock: list[datetime], told: Callable[[], Counter[Any]]
) -> None:
    """A pass reads only what stands: the record of the last opening is met when writing."""
    keep = KeepFindings(control)
    for seen in ([sighting()], [], [sighting()]):
        report = keep(seen, compared={KIND}, trace="t")
        clock[0] += timedelta(days=3)
    name = sighting().fingerprint
    assert told() == {(name, "opened"): 2, (name, "resolved"): 1}
    assert [(one.sightings, one.version) for one in report.findings] == [(1, 3)]


def test_a_storm_that_comes_back_is_told_of_anew(
    control: Control, clock: list[datetime], told: Callable[[], Counter[Any]]
) -> None:
    """Its record and those of its members are all there from the last time."""
    keep = KeepFindings(control)
    many = [sighting(number) for number in range(30)]
    for seen in (many, [], many, []):
        keep(seen, compared={KIND}, trace="t")
        clock[0] += timedelta(days=1)
    name = storm_name(KIND)
    assert told() == {(name, "opened"): 2, (name, "resolved"): 2}


def test_a_persons_word_and_a_pass_at_once_end_a_finding_once(
    control: Control, told: Callable[[], Counter[Any]], race: Race
) -> None:
    """Whoever writes first ends it; the other finds it over."""
    keep = KeepFindings(control)
    keep([sighting()], compared={KIND}, trace="t")
    name = sighting().fingerprint
    race(
        lambda number: (
            resolve_by_hand(control, name) if number % 2 else keep([], compared={KIND}, trace="t")
        )
    )
    assert told() == {(name, "opened"): 1, (name, "resolved"): 1}
