"""Alerts that many processes make: at once, held back when they are many, ended when they last."""

from collections import Counter

from shared.domain.finding import Severity, Sighting
from shared.errors import Transient
from shared.usecases.alerts import alert_put
from shared.usecases.tell import tell_now
from tests.alerting.conftest import Desk
from tests.alerting.telling import POINT, everywhere, make, once, tell
from tests.usecases.killing import Killed


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
