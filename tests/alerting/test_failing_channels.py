"""A channel that fails costs little, and what was told of it ends: everywhere, and once."""

from collections.abc import Iterator

import pytest

from shared.aws.findings import FindingStore
from shared.domain.alert import Alert
from shared.domain.channel_turns import TIME_EACH, Turns
from shared.domain.finding import Finding
from shared.errors import OutcomeUnknown, Permanent
from shared.usecases.findings import CHANNEL_FAILING
from shared.usecases.tell import Tell
from tests.alerting.conftest import Desk
from tests.alerting.telling import FIRING, RESOLVED, look, sightings, tell

BEGUN, ENDED = f"[FIRING] {CHANNEL_FAILING}", f"[RESOLVED] {CHANNEL_FAILING}"


def test_who_was_reminded_of_its_own_failing_hears_the_end(desk: Desk) -> None:
    """PagerDuty opened an incident at the reminder that it took: the end of it comes there too."""
    desk.pager.fails = lambda _: Permanent("it answered 403")
    look(desk, 1)
    look(desk, 0)
    desk.pager.fails = lambda _: None
    desk.wait(hours=4)
    tell(desk)
    assert desk.pager.said == [BEGUN, ENDED]
    desk.wait(minutes=5)
    tell(desk)
    assert desk.pager.said == [BEGUN, ENDED]
    assert desk.chat.said == [FIRING, BEGUN, RESOLVED, BEGUN, ENDED]


def test_a_channel_that_nobody_chose_any_more_fails_no_more(desk: Desk) -> None:
    """It can't be seen to work again: the others hear once that this is over."""
    desk.chat.fails = lambda _: Permanent("it answered 404")
    look(desk, 1)
    assert desk.pager.said == [FIRING, BEGUN]
    without = (desk.topic, desk.pager)
    assert [Tell(desk.control, without)("t").resolved for _ in range(2)] == [1, 0]
    assert desk.pager.said == [FIRING, BEGUN, ENDED]
    assert list(desk.keep.standing({CHANNEL_FAILING})) == []


def test_what_stands_is_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """There may be thousands; ended, reminded of, and found of channels, it is still once."""
    reads = []
    standing = FindingStore.standing

    def counted(store: FindingStore) -> Iterator[Finding]:
        reads.append(store)
        return standing(store)

    desk.keep(sightings(2), compared=(), trace="t")
    desk.chat.fails = lambda _: Permanent("it answered 404")
    monkeypatch.setattr(FindingStore, "standing", counted)
    assert tell(desk).failing == {"chat": "it answered 404"}
    assert len(reads) == 1
    desk.wait(hours=4)
    desk.chat.fails = lambda _: None
    assert tell(desk).reminded == 3
    assert len(reads) == 2
    assert desk.pager.said[-1] == ENDED


def test_a_dead_channel_has_two_timeouts_of_an_invocation(desk: Desk) -> None:
    """However often it tells meanwhile; the others go on, and the next invocation tries again."""
    asked: list[str] = []

    def silent(alert: Alert) -> OutcomeUnknown:
        asked.append(alert.id)
        return OutcomeUnknown("it gave no answer in time")

    desk.chat.fails = silent
    turns = Turns()
    for count in (1, 3, 5):
        desk.keep(sightings(count), compared=(), trace="t")
        Tell(desk.control, desk.channels, turns)("t")
    assert len(asked) == 2
    assert desk.pager.said.count(FIRING) == 5
    tell(desk)
    assert len(asked) == 4


def test_a_slow_channel_does_not_keep_the_others_waiting(desk: Desk) -> None:
    """It takes everything, but late: what is over its time waits for the next invocation."""
    slow = TIME_EACH / 4

    def late(_: Alert) -> None:
        desk.wait(seconds=slow.total_seconds())

    desk.chat.fails = late
    desk.keep(sightings(9), compared=(), trace="t")
    assert tell(desk).failing == {}
    assert (len(desk.chat.took), len(desk.topic.took), len(desk.pager.took)) == (4, 9, 9)
    tell(desk)
    assert len(desk.chat.took) == 8
    tell(desk)
    assert desk.chat.said == [FIRING] * 9
    assert len(desk.pager.took) == 9
    assert desk.rows() == []
