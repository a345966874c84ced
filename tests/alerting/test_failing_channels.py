"""What was told of a channel that fails ends: everywhere, and once."""

from collections.abc import Iterator

import pytest

from shared.aws.findings import FindingStore
from shared.domain.finding import Finding
from shared.errors import Permanent
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
