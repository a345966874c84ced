"""From a sighting to people's ears: once, through every channel, whoever is killed or fails."""

import itertools
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from shared.aws.table import Put
from shared.domain.alert import Alert
from shared.domain.finding import Severity, Sighting, fingerprint
from shared.errors import ControlPlaneError, OutcomeUnknown, Permanent, Transient
from shared.usecases.alerts import alert_put
from shared.usecases.findings import CHANNEL_FAILING, FindingsReport, ack, resolve_by_hand
from shared.usecases.tell import Tell, TellReport, tell_now
from tests.alerting.conftest import Desk, Remembering
from tests.usecases.killing import Killed

KIND = "binding_missing"
POINT = "webhook_dead_lettered"
FIRING, RESOLVED = f"[FIRING] {KIND}", f"[RESOLVED] {KIND}"


def sightings(count: int, kind: str = KIND) -> list[Sighting]:
    return [
        Sighting(kind, f"db-{number}", Severity.ERROR, f"database {number} is not bound")
        for number in range(count)
    ]


def look(desk: Desk, count: int, **more: Any) -> FindingsReport:
    """A real pass that compared the kind and saw so many, and told of them."""
    report = desk.keep(sightings(count), compared={KIND}, trace="t", **more)
    tell(desk)
    return report


def tell(desk: Desk) -> TellReport:
    return Tell(desk.control, desk.channels)("t")


def make(desk: Desk, kind: str = POINT, subject: str = "one") -> Put:
    """An alert, committed as a use case does."""
    put = alert_put(
        desk.control.now(),
        kind=kind,
        severity="warning",
        subject=subject,
        summary=f"{subject} was kept aside",
    )
    desk.control.state.table.write(put)
    return put


def everywhere(desk: Desk) -> list[list[str]]:
    return [channel.said for channel in desk.channels]


def once(error: ControlPlaneError) -> Any:
    """Fail with this the first time."""
    errors = [error]
    return lambda _: errors.pop() if errors else None


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


def test_after_three_failures_a_run_asks_a_channel_no_more(desk: Desk) -> None:
    """A dead receiver costs a run three timeouts, not one for each alert."""
    asked: list[str] = []

    def silent(alert: Alert) -> ControlPlaneError:
        asked.append(alert.id)
        return OutcomeUnknown("it gave no answer: ReadTimeout")

    desk.chat.fails = silent
    look(desk, 8)
    assert len(asked) == 3
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


def test_the_topic_hears_at_once_the_others_with_the_sweep(desk: Desk) -> None:
    """A function that alerts waits for no chat server."""
    tell_now(desk.control, make(desk))
    assert everywhere(desk) == [[f"[FIRING] {POINT}"], [], []]
    tell(desk)
    assert everywhere(desk) == [[f"[FIRING] {POINT}"]] * 3
    assert desk.rows() == []


def test_a_topic_that_does_not_answer_hears_with_the_sweep(desk: Desk) -> None:
    """Whoever alerts goes on; nothing is lost."""
    desk.topic.fails = once(Transient("SNS does not answer"))
    tell_now(desk.control, make(desk))
    assert everywhere(desk) == [[], [], []]
    desk.wait(minutes=5)
    tell(desk)
    assert everywhere(desk) == [[f"[FIRING] {POINT}"]] * 3


def test_from_the_tenth_on_alerts_wait_for_one_summary(desk: Desk) -> None:
    """Nine are told as they come; the sweep tells of the other 21 in one message."""
    for number in range(30):
        tell_now(desk.control, make(desk, subject=f"body {number:02}"))
    assert len(desk.topic.took) == 9
    report = tell(desk)
    assert report.held == 21
    assert [len(channel.took) for channel in desk.channels] == [10, 10, 10]
    summary = desk.pager.took[-1].summary
    assert summary.startswith("21 alerts of one kind: body 09 was kept aside; ")
    assert summary.endswith("; and 16 more")
    assert desk.rows() == []


def test_many_that_wait_for_the_sweep_are_one_summary(desk: Desk) -> None:
    """What a webhook's door left in the outbox is told of in one message, of 200 too."""
    for number in range(200):
        make(desk, subject=f"body {number:03}")
    make(desk, kind="billing_parked")
    tell(desk)
    for channel in desk.channels:
        assert sorted(channel.said) == ["[FIRING] billing_parked", f"[FIRING] {POINT}"]
        assert any("200 alerts of one kind" in each.summary for each in channel.took)
    assert desk.rows() == []


def test_the_pace_slackens_after_five_minutes(desk: Desk) -> None:
    """The window slides: what was told long ago counts no more."""
    for number in range(9):
        tell_now(desk.control, make(desk, subject=str(number)))
        desk.wait(seconds=30)
    tell_now(desk.control, make(desk, subject="held"))
    assert len(desk.topic.took) == 9
    desk.wait(seconds=45)
    tell_now(desk.control, make(desk, subject="told"))
    assert len(desk.topic.took) == 10


def test_a_summary_left_half_way_is_gone_on_with(desk: Desk) -> None:
    """Killed while it gathers: nothing is lost, and it is still one message."""
    number = 0
    while True:
        number += 1
        kind = f"point_{number}"
        for each in range(85):
            make(desk, kind=kind, subject=f"body {each}")
        desk.executioner.arm(85 + number)  # each row is first marked as held
        try:
            tell(desk)
        except Killed:
            killed = True
        else:
            killed = False
        desk.executioner.arm(None)
        desk.wait(minutes=6)
        tell(desk)
        told = {each.id: each.summary for each in desk.pager.took if each.kind == kind}
        assert len(told) == 1, (number, told)
        assert next(iter(told.values())).startswith("85 alerts")
        assert desk.rows() == []
        if not killed or number > 5:
            break
    assert number > 5


def test_what_lasts_becomes_a_finding_and_ends(desk: Desk) -> None:
    """The breaker opens: one finding, told at once; it is closed: the sweep tells so."""
    breaker = desk.control.breaker
    opening = alert_put(
        desk.control.now(), kind="breaker_open", severity="critical", subject="deletes", summary="x"
    )
    also = [breaker.open(breaker.read(), "too many", desk.control.now()), opening]
    desk.control.state.commit(also=also)
    tell_now(desk.control, opening)
    assert desk.topic.said == ["[FIRING] breaker_open"]
    tell(desk)
    assert [one.kind for one in desk.keep.standing()] == ["breaker_open"]
    desk.wait(hours=4)
    tell(desk)
    assert desk.pager.said == ["[FIRING] breaker_open"] * 2
    write = breaker.reset(breaker.read(), 0, desk.control.now())
    desk.control.state.commit(also=[write])
    assert tell(desk).resolved == 1
    assert desk.topic.said == desk.pager.said
    assert desk.pager.said == ["[FIRING] breaker_open"] * 2 + ["[RESOLVED] breaker_open"]


def test_a_pass_and_an_alert_of_one_thing_are_told_once(desk: Desk) -> None:
    """A database that is missing is found by the publisher and by the nightly pass."""
    kind = "database_missing"
    desk.keep([Sighting(kind, "01JD", Severity.CRITICAL, "it is gone")], compared={kind}, trace="t")
    tell_now(desk.control, make(desk, kind=kind, subject="01JD"))
    tell(desk)
    assert everywhere(desk) == [[f"[FIRING] {kind}"]] * 3


def test_a_storm_of_what_lasts_is_one_summary_and_one_end(desk: Desk) -> None:
    """A hundred tenants fail: nine messages and a summary; they are mended: nine ends and one."""
    for number in range(100):
        tell_now(desk.control, make(desk, kind="tenant_failed", subject=f"org_{number}"))
    # None of these tenants is in the table: each is over as soon as the sweep looks.
    assert len(desk.topic.took) == 9
    assert len(list(desk.keep.standing({"tenant_failed"}))) == 100
    desk.keep((), compared=(), trace="t")
    assert len([row for row in desk.rows() if row["detail"].get("members")]) == 1
    tell(desk)
    marks = Counter(each.mark for each in desk.pager.took)
    assert marks == {"[FIRING]": 10, "[RESOLVED]": 10}
