"""What became of a thing is never told before the thing: to no channel, whoever fails."""

from shared.domain.finding import Severity, Sighting
from shared.errors import Transient
from shared.usecases.tell import Tell
from tests.alerting.conftest import Desk

KIND = "binding_missing"
FIRING, RESOLVED = f"[FIRING] {KIND}", f"[RESOLVED] {KIND}"


def sightings(count: int) -> list[Sighting]:
    return [
        Sighting(KIND, f"db-{number}", Severity.ERROR, f"database {number} is not bound")
        for number in range(count)
    ]


def tell(desk: Desk) -> None:
    Tell(desk.control, desk.channels)("t")


def test_no_channel_hears_of_an_end_before_the_beginning(desk: Desk) -> None:
    """PagerDuty would open an incident then that nothing ends: the end waits for its turn."""
    errors = [Transient("it answered 500")]
    desk.chat.fails = lambda _: errors.pop() if errors else None
    desk.keep(sightings(2), compared={KIND}, trace="t")
    desk.keep((), compared={KIND}, trace="t")
    tell(desk)
    assert desk.pager.said[:4] == [FIRING, FIRING, RESOLVED, RESOLVED]
    (late,) = {each.fingerprint for each in desk.pager.took[:2]} - {
        each.fingerprint for each in desk.chat.took
    }
    assert desk.chat.said == [FIRING, RESOLVED]
    desk.wait(minutes=5)
    tell(desk)
    assert [each.resolved for each in desk.chat.took if each.fingerprint == late] == [False, True]
    assert desk.rows() == []


def test_what_somebody_else_sends_is_not_overtaken(desk: Desk) -> None:
    """A beginning that is still on its way to a channel keeps the end from it."""
    desk.keep(sightings(1), compared={KIND}, trace="t")
    (row,) = desk.rows()
    later = "2026-11-25T12:01:00.000000Z"
    desk.control.outbox.keep(row, busy_until=later)
    desk.keep((), compared={KIND}, trace="t")
    tell(desk)
    assert [channel.said for channel in desk.channels] == [[], [], []]
    desk.wait(minutes=5)
    tell(desk)
    assert [channel.said for channel in desk.channels] == [[FIRING, RESOLVED]] * 3


def test_what_nobody_can_be_told_costs_no_write(desk: Desk) -> None:
    """Rows that wait for a channel which asked for a rest are left alone, however many."""
    desk.chat.fails = lambda _: Transient("it answered 429", retry_after=3000)
    desk.keep(sightings(5), compared={KIND}, trace="t")
    tell(desk)
    before = desk.rows()
    assert len(before) == 5
    desk.wait(minutes=5)
    tell(desk)
    assert desk.rows() == before
