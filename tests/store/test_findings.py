"""Findings and the pace of alerts in the table, and two who write to them at once."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest

from shared.aws.alert_pace import AlertPace
from shared.aws.findings import RESOLVED_KEPT, FindingStore, finding_put
from shared.aws.fleet import FleetStore
from shared.aws.outbox import Outbox, row_delete, row_put
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.domain.finding import Finding, Severity, Sighting, resolve, see
from shared.errors import Conflict
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings
from tests.store.conftest import World


@pytest.fixture
def store(world: World) -> FindingStore:
    return FindingStore(world.table)


def sighting(number: int = 1) -> Sighting:
    return Sighting(
        "schema_drift",
        f"db-{number}",
        Severity.ERROR,
        "another schema",
        tenant_id="org_1",
        database_id="uuid",
        evidence={"tables": 3, "hash": "abc"},
    )


def opened(world: World, number: int = 1) -> Finding:
    finding = see(None, sighting(number), world.now).finding.notified(world.now)
    world.table.write(finding_put(None, finding))
    return finding


def control_of(world: World) -> Control:
    """What keeps findings, and needs nothing but the table."""
    nothing = cast("Any", None)
    return Control(
        settings=cast("Settings", None),
        now=lambda: world.now,
        state=State(world.table),
        pools=Pools(world.table),
        fleet=FleetStore(world.table),
        queues=nothing,
        outbox=Outbox(world.table, nothing, "bus", nothing),
        who="test",
    )


def test_a_finding_is_read_as_it_was_written(world: World, store: FindingStore) -> None:
    """Numbers, moments and evidence come back as they were."""
    finding = opened(world)
    assert store.get(finding.fingerprint) == finding
    assert list(store.standing()) == [finding]
    assert store.get("0" * 32) is None


def test_each_state_is_found_by_itself(world: World, store: FindingStore) -> None:
    """Open and acked ones stand; what ended is found apart, and expires after 90 days."""
    first, second, third = (opened(world, number) for number in range(3))
    acked, ended = second.acked(world.now), resolve(third, world.now, "gone").finding
    world.table.write(finding_put(second, acked))
    world.table.write(finding_put(third, ended))
    assert {each.fingerprint for each in store.standing()} == {
        first.fingerprint,
        acked.fingerprint,
    }
    assert list(store.resolved()) == [ended]
    expires = {
        item["state"]: item.get("expires_at") for item in world.items("FINDING#") if item["version"]
    }
    assert expires["open"] is expires["acked"] is None
    assert expires["resolved"] == int((world.now + RESOLVED_KEPT).timestamp())


def test_what_opens_anew_expires_no_more(world: World) -> None:
    """Nothing of its end is left in the item."""
    before = opened(world)
    ended = resolve(before, world.now, "gone").finding
    world.table.write(finding_put(before, ended))
    again = see(ended, sighting(), world.later(60)).finding
    world.table.write(finding_put(ended, again))
    (item,) = world.items("FINDING#")
    assert not {"expires_at", "resolved_at", "resolved_why"} & set(item)


def test_a_stale_write_is_refused_by_name(world: World) -> None:
    """Whoever read an older version, or nothing, can't write."""
    finding = opened(world)
    with pytest.raises(Conflict, match="finding is new"):
        world.table.write(finding_put(None, finding))
    world.table.write(finding_put(finding, finding.acked(world.now)))
    with pytest.raises(Conflict, match="finding is as it was read"):
        world.table.write(finding_put(finding, finding.acked(world.now)))


@pytest.mark.parametrize(("count", "messages"), [(4, 4), (30, 1)])
def test_reconcilers_at_once_notify_once(
    world: World, race: Callable[[Callable[[int], Any]], list[Any]], count: int, messages: int
) -> None:
    """Eight passes see the same: one message each, or one summary; then one end each."""
    control = control_of(world)
    seen = [sighting(number) for number in range(count)]

    def look(what: list[Sighting]) -> Callable[[int], Any]:
        return lambda _: KeepFindings(control)(what, compared={"schema_drift"}, trace="t")

    race(look(seen))
    rows = world.items("OUTBOX")
    assert [row["detail"]["state"] for row in rows] == ["firing"] * messages
    assert len(list(KeepFindings(control).standing())) == count
    world.now += timedelta(hours=1)
    race(look([]))
    ends = [row for row in world.items("OUTBOX") if row["detail"]["state"] == "resolved"]
    assert len(ends) == messages
    assert list(FindingStore(world.table).standing()) == []


def test_nine_of_a_kind_pass_whoever_asks(
    world: World, race: Callable[[Callable[[int], Any]], list[Any]]
) -> None:
    """Eight processes alert at once, again and again: nine are told in any five minutes."""
    pace = AlertPace(world.table)
    passed = [
        sum(race(lambda _, at=at: pace.permit("tenant_failed", at)))
        for at in (world.now, world.later(1), world.later(2))
    ]
    assert sum(passed) <= 9
    while pace.permit("tenant_failed", world.later(3)):
        passed.append(1)
    assert sum(passed) == 9
    assert pace.permit("another", world.now)
    assert pace.permit("tenant_failed", world.later(304))


def test_a_channel_stays_closed_until_its_time(world: World) -> None:
    """What it asked for holds for every process; nothing is known of others."""
    pace = AlertPace(world.table)
    assert pace.closed_until("slack") is None
    pace.close("slack", world.later(30))
    assert pace.closed_until("slack") == world.later(30)
    assert pace.closed_until("pagerduty") is None


def test_a_row_has_one_writer_at_a_time(world: World) -> None:
    """Who read an alert's row before somebody else wrote to it can neither write nor remove it."""
    row: dict[str, Any] = {"pk": "OUTBOX", "sk": "01", "kind": "alert", "gone": "x"}
    world.client.put_item(TableName=world.table.name, Item=row)
    write = row_put(row, through={"sns": "taken"}, gone=None)
    world.table.write(write)
    assert write.item == {
        **{name: value for name, value in row.items() if name != "gone"},
        "through": {"sns": "taken"},
        "revision": 1,
    }
    for stale in (row_put(row, held=True), row_delete(row)):
        with pytest.raises(Conflict, match="alert waits as it was read"):
            world.table.write(stale)
    world.table.write(row_delete(write.item))
    with pytest.raises(Conflict, match="alert waits as it was read"):
        world.table.write(row_put(write.item, held=True))
    assert world.items("OUTBOX") == []
