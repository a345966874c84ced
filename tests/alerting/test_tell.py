"""From a sighting to people's ears: once, through every channel, whoever is killed or fails."""

import itertools
from collections import Counter
from datetime import timedelta

import pytest

from shared.domain.alert import Alert
from shared.domain.finding import fingerprint
from shared.errors import ControlPlaneError, OutcomeUnknown, Permanent, Transient
from shared.usecases.findings import CHANNEL_FAILING, ack, resolve_by_hand
from tests.alerting.conftest import Desk, Remembering
from tests.alerting.telling import (
    FIRING,
    KIND,
    RESOLVED,
    everywhere,
    look,
    once,
    sightings,
    tell,
)
from tests.usecases.killing import Killed


def test_a_finding_is_told_once_and_its_end_once(desk: Desk) -> None:
    """Each channel hears of it when it opens and when it is over, and of nothing in between."""
    assert (look(desk, 1).opened, everywhere(desk)) == (1, [[FIRING]] * 3)
    desk.wait(minutes=5)
    assert (look(desk, 1).notified, everywhere(desk)) == (0, [[FIRING]] * 3)
    desk.wait(minutes=5)
    assert (look(desk, 0).resolved, everywhere(desk)) == (1, [[FIRING, RESOLVED]] * 3)
    assert desk.rows() == []
    desk.wait(minutes=5)
    look(desk, 1)
    assert desk.chat.said == [FIRING, RESOLVED, FIRING]


def test_what_was_not_compared_is_not_over(desk: Desk) -> None:
    """A pass that could not look says nothing about what it did not see."""
    look(desk, 1)
    report = desk.keep((), compared={"another_kind"}, trace="t")
    assert (report.resolved, len(report.findings)) == (0, 1)


def test_the_sweep_reminds_every_four_hours(desk: Desk) -> None:
    """Though nobody looked again; and it reminds of nothing that is acked."""
    look(desk, 2)
    desk.wait(hours=4)
    assert tell(desk).reminded == 2
    assert tell(desk).reminded == 0
    name = sightings(1)[0].fingerprint
    assert ack(desk.control, name) is not None
    desk.wait(hours=4)
    assert tell(desk).reminded == 1
    assert desk.chat.said == [FIRING] * 5


def test_standing_findings_are_read_by_kind(desk: Desk) -> None:
    """With their age and sightings; what stands for a storm is none."""
    look(desk, 12)
    desk.wait(hours=1)
    look(desk, 12)
    standing = list(desk.keep.standing({KIND}))
    assert {(one.sightings, one.first_seen) for one in standing} == {
        (2, desk.control.now() - timedelta(hours=1))
    }
    assert len(standing) == 12
    assert list(desk.keep.standing({"another"})) == []


def test_two_hundred_are_one_message_and_one_end(desk: Desk) -> None:
    """One summary at each channel, with how many and some of them, and one resolve."""
    report = look(desk, 200)
    assert (report.opened, report.summarised, report.notified) == (200, 200, 1)
    assert everywhere(desk) == [[FIRING]] * 3
    summary = desk.chat.took[0].summary
    assert "200 findings" in summary
    assert "database 1" in summary
    desk.wait(minutes=10)
    report = look(desk, 0)
    assert (report.resolved, report.notified) == (200, 1)
    assert everywhere(desk) == [[FIRING, RESOLVED]] * 3
    assert {each.fingerprint for each in desk.chat.took} == {fingerprint(KIND, "(storm)")}


def test_the_word_about_a_summary_is_about_all(desk: Desk) -> None:
    """Whoever acks or resolves what stands for a storm means everything in it."""
    look(desk, 20)
    storm = fingerprint(KIND, "(storm)")
    ack(desk.control, storm)
    assert {one.state for one in desk.keep.standing()} == {"acked"}
    desk.wait(hours=5)
    tell(desk)
    assert desk.chat.said == [FIRING]
    resolve_by_hand(desk.control, storm)
    tell(desk)
    assert desk.chat.said == [FIRING, RESOLVED]
    assert list(desk.keep.standing()) == []
    assert ack(desk.control, "0" * 32) is None


@pytest.mark.parametrize(("count", "messages", "effects"), [(3, 3, 20), (12, 1, 9)])
def test_killed_anywhere_the_next_pass_ends_in_the_same_place(
    desk: Desk, count: int, messages: int, effects: int
) -> None:
    """After each side effect in turn: each channel has the news once, or again under its id."""
    for number in itertools.count(1):
        kind = f"kind_{number}"
        desk.executioner.arm(number)
        killed = False
        try:
            desk.keep(sightings(count, kind), compared=(), trace="t")
            tell(desk)
        except Killed:
            killed = True
        desk.executioner.arm(None)
        desk.wait(minutes=6)
        desk.keep(sightings(count, kind), compared=(), trace="t")
        tell(desk)
        for channel in desk.channels:
            told = [each for each in channel.took if each.kind == kind]
            ids = {each.id for each in told}
            assert len(ids) == messages, (number, channel.name)
            assert len(told) <= messages + 1
        assert desk.rows() == []
        if not killed:
            break
    assert number > effects


def test_a_channel_that_fails_repeats_nothing_at_the_others(desk: Desk) -> None:
    """The alert waits for it alone, and reaches it under the same id."""
    desk.chat.fails = once(Transient("it answered 500"))
    look(desk, 1)
    assert desk.topic.said == desk.pager.said == [FIRING, f"[FIRING] {CHANNEL_FAILING}"]
    assert desk.chat.said == []
    desk.wait(minutes=5)
    tell(desk)
    assert desk.chat.said == [FIRING]
    assert desk.chat.took[0].id == desk.topic.took[0].id
    assert desk.topic.said == [
        FIRING,
        f"[FIRING] {CHANNEL_FAILING}",
        f"[RESOLVED] {CHANNEL_FAILING}",
    ]
    assert desk.rows() == []


def test_a_failing_channel_is_one_finding(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """It is told through the others, once, names the channel and why, and leaves a log line."""
    desk.chat.fails = lambda _: Permanent("Slack refuses the message (404 no_service)")
    for _ in range(3):
        look(desk, 0)
        look(desk, 1)
        desk.wait(minutes=6)
    failing = [each for each in desk.pager.took if each.kind == CHANNEL_FAILING]
    assert len(failing) == 1
    assert "chat" in failing[0].summary
    assert "no_service" in failing[0].summary
    (standing,) = desk.keep.standing({CHANNEL_FAILING})
    assert (standing.subject, standing.sightings) == ("chat", 5)
    assert "a channel refuses an alert: Slack refuses" in caplog.text
    assert desk.rows() == []  # what it refuses is dropped, for it alone
    assert len([each for each in desk.pager.said if each == FIRING]) == 3


def test_a_channel_that_was_mended_is_found_by_the_reminder(desk: Desk) -> None:
    """Nothing else may happen for days: the reminder goes to it, and ends what it speaks of."""
    desk.chat.fails = lambda _: Permanent("it answered 404")
    look(desk, 1)
    look(desk, 0)
    desk.wait(hours=4)
    tell(desk)
    assert len(list(desk.keep.standing({CHANNEL_FAILING}))) == 1
    assert desk.chat.took == []
    desk.chat.fails = lambda _: None
    desk.wait(hours=4)
    tell(desk)
    assert list(desk.keep.standing({CHANNEL_FAILING})) == []
    assert desk.pager.said[-1] == f"[RESOLVED] {CHANNEL_FAILING}"


def test_a_busy_channel_is_left_alone_as_long_as_it_asked_for(desk: Desk) -> None:
    """By every later run, too; that is no failure until it lasts."""
    asked = Counter[str]()

    def busy(alert: Alert) -> ControlPlaneError | None:
        asked["chat"] += 1
        return Transient("it answered 429", retry_after=900) if asked["chat"] == 1 else None

    desk.chat.fails = busy
    look(desk, 3)
    assert (asked["chat"], desk.chat.took) == (1, [])
    desk.wait(minutes=10)
    tell(desk)
    assert asked["chat"] == 1
    desk.wait(minutes=6)
    tell(desk)
    assert desk.chat.said == [FIRING] * 3
    assert CHANNEL_FAILING not in str(everywhere(desk))


def test_a_channel_that_stays_busy_is_failing(desk: Desk) -> None:
    """After a quarter of an hour somebody should know."""
    desk.chat.fails = lambda _: Transient("it answered 429", retry_after=60)
    look(desk, 1)
    assert list(desk.keep.standing({CHANNEL_FAILING})) == []
    desk.wait(minutes=16)
    assert tell(desk).failing == {"chat": "it answered 429"}
    assert desk.pager.said[-1] == f"[FIRING] {CHANNEL_FAILING}"


def test_after_two_failures_a_run_asks_a_channel_no_more(desk: Desk) -> None:
    """A dead receiver costs a run two timeouts, not one for each alert."""
    asked: list[str] = []

    def silent(alert: Alert) -> ControlPlaneError:
        asked.append(alert.id)
        return OutcomeUnknown("it gave no answer: ReadTimeout")

    desk.chat.fails = silent
    look(desk, 8)
    assert len(asked) == 2
    assert len(desk.pager.took) == 9


def test_an_alert_is_given_up_after_a_day_if_others_took_it(desk: Desk) -> None:
    """A dead channel does not fill the outbox; if all are dead, everything waits."""
    desk.chat.fails = lambda _: Transient("it answered 500")
    look(desk, 1)
    assert len(desk.rows()) == 1
    desk.wait(hours=25)
    tell(desk)
    for channel in (desk.topic, desk.pager):
        channel.fails = desk.chat.fails
    look(desk, 2)
    desk.wait(hours=49)
    tell(desk)
    waiting = {row["detail"]["fingerprint"] for row in desk.rows()}
    assert sightings(2)[1].fingerprint in waiting


def test_what_was_sent_but_not_written_down_comes_again_with_its_id(desk: Desk) -> None:
    """Killed between a channel and the note that it took the alert: the same id, nobody else's."""

    class Dies(Remembering):
        def send(self, alert: Alert) -> None:
            super().send(alert)
            if len(self.took) == 1:
                raise Killed(self.name)

    desk.chat = Dies("chat", desk.executioner.happened)
    with pytest.raises(Killed):
        look(desk, 1)
    assert tell(desk).sent == 0  # for a minute it may still be on its way
    desk.wait(minutes=5)
    tell(desk)
    assert [each.id for each in desk.chat.took] == [desk.topic.took[0].id] * 2
    assert len(desk.topic.took) == len(desk.pager.took) == 1
