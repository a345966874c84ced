"""The outbox: what was written down is sent at least once, with an id that tells repeats."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.aws.items import outbox_put
from shared.aws.table import Put
from shared.domain.alert import Alert
from shared.errors import Transient
from shared.usecases.alerts import alert_put

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def event(second: int = 0, **detail: Any) -> Put:
    return outbox_put(NOW + timedelta(seconds=second), "event", "TenantReady", detail)


def alert(**more: Any) -> Put:
    return alert_put(
        NOW,
        **{"kind": "pool_blocked", "severity": "error", "subject": "weur", "summary": "full"}
        | more,
    )


def test_a_row_is_sent_and_gone(cloud: Any) -> None:
    """An event reaches the bus's rule as it was written, and the row does not wait any more."""
    row = event(tenant_id="org_1", episode=2, share=Decimal("0.5"))
    cloud.table.write(row)
    (waiting,) = cloud.outbox().waiting(10)
    cloud.outbox().deliver(waiting)
    (sent,) = cloud.sent_events()
    assert (sent["source"], sent["detail-type"]) == ("d1fleet", "TenantReady")
    assert sent["detail"] == {
        "id": row.item["sk"],
        "tenant_id": "org_1",
        "episode": 2,
        "share": 0.5,
    }
    assert list(cloud.outbox().waiting(10)) == []


def test_a_row_is_sent_as_it_was_written_without_being_read(cloud: Any) -> None:
    """The row that was just committed is delivered from memory, and is gone all the same."""
    row = event(tenant_id="org_1")
    cloud.table.write(row)
    cloud.outbox().deliver(row.item)
    assert len(cloud.sent_events()) == 1
    assert list(cloud.outbox().waiting(10)) == []


def test_an_alert_says_at_once_what_and_whether_it_burns(cloud: Any) -> None:
    """The message begins with its state and carries kind, fingerprint and what filters need."""
    row = alert()
    cloud.outbox().topic.send(Alert.of(row.item["detail"]))
    (sent,) = cloud.sent_alerts()
    fingerprint = row.item["detail"]["fingerprint"]
    first, second, *body = sent["Message"].split("\n")
    assert first == sent["Subject"] == "[FIRING] pool_blocked: full"
    assert second == f"fingerprint: {fingerprint}"
    assert json.loads("\n".join(body))["id"] == row.item["sk"]
    values = {name: found["Value"] for name, found in sent["MessageAttributes"].items()}
    assert values == {"kind": "pool_blocked", "severity": "error"}


def test_a_resolved_alert_says_so(cloud: Any) -> None:
    """The end of a finding is told in the same form."""
    row = alert(state="resolved")
    cloud.outbox().topic.send(Alert.of(row.item["detail"]))
    assert cloud.sent_alerts()[0]["Message"].startswith("[RESOLVED] pool_blocked: full\n")


def test_a_subject_is_what_sns_takes(cloud: Any) -> None:
    """Line breaks, other letters and length don't stop an alert; its text is whole."""
    summary = "0002_größe.sql:\n near 'selec' " + "x" * 300
    row = alert(summary=summary)
    cloud.outbox().topic.send(Alert.of(row.item["detail"]))
    (sent,) = cloud.sent_alerts()
    assert len(sent["Subject"]) == 100
    assert sent["Subject"].isascii()
    assert sent["Subject"].isprintable()
    assert summary in sent["Message"]


def test_one_subject_alerts_under_one_fingerprint() -> None:
    """The text may change, the fingerprint stays; another kind or subject has another."""
    same = {alert(summary=text).item["detail"]["fingerprint"] for text in ("a", "b")}
    other = {
        alert(**more).item["detail"]["fingerprint"]
        for more in ({"kind": "tenant_failed"}, {"subject": "eu"})
    }
    assert len(same) == 1
    assert len(same | other) == 3


def test_what_could_not_be_sent_stays(cloud: Any) -> None:
    """A bus that refuses: the row waits, and goes out once it works."""
    row = event(1)
    cloud.table.write(row)
    with pytest.raises(Transient, match="could not be sent"):
        cloud.outbox(bus="x" * 300).deliver(row.item)
    (waiting,) = cloud.outbox().waiting(10)
    cloud.outbox().deliver(waiting)
    assert len(cloud.sent_events()) == 1
    assert list(cloud.outbox().waiting(10)) == []


def test_a_topic_that_is_gone_may_come_back(cloud: Any) -> None:
    """What the topic does not take may be sent later."""
    gone = cloud.outbox(topic="arn:aws:sns:us-east-1:123456789012:gone").topic
    with pytest.raises(Transient, match="could not be sent"):
        gone.send(Alert.of(alert().item["detail"]))


def test_an_event_that_the_bus_takes_with_an_error_stays(cloud: Any) -> None:
    """The bus answers 200 and refuses the entry inside: that is not sent either."""
    row = outbox_put(NOW, "event", "", {})
    cloud.table.write(row)
    with pytest.raises(Transient, match="the event bus refused : InvalidArgument"):
        cloud.outbox().deliver(row.item)
    assert len(list(cloud.outbox().waiting(10))) == 1


def test_killed_between_sending_and_removing_it_is_sent_again_with_its_id(cloud: Any) -> None:
    """Consumers see the event twice under one `detail.id`, never not at all."""
    row = event(tenant_id="org_1")
    cloud.table.write(row)
    cloud.outbox().deliver(row.item)
    cloud.table.write(row)
    (again,) = cloud.outbox().waiting(10)
    cloud.outbox().deliver(again)
    ids = [sent["detail"]["id"] for sent in cloud.sent_events()]
    assert ids == [row.item["sk"]] * 2


def test_the_oldest_waits_no_longer_than_the_youngest(cloud: Any) -> None:
    """Rows come in the order in which they were written down."""
    for second in (2, 0, 1):
        cloud.table.write(event(second, n=second))
    assert [row["detail"]["n"] for row in cloud.outbox().waiting(10)] == [0, 1, 2]
    assert [row["detail"]["n"] for row in cloud.outbox().waiting(2)] == [0, 1]
