"""Slack, PagerDuty and signed webhooks, judged by what each of them documents."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from standardwebhooks import Webhook as Judge
from svix.webhooks import Webhook as SvixJudge
from svix.webhooks import WebhookVerificationError

from shared.alerting.pagerduty import PagerDuty
from shared.alerting.posting import Poster
from shared.alerting.slack import Slack, slack_message
from shared.alerting.webhook import Webhook
from shared.domain.alert import Alert
from shared.errors import Permanent, Transient
from tests.alerting.conftest import alert
from tests.support.receiver import Answer, Receiver

KEY = "R" * 32
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NASTY = "<!channel> & <https://evil.example|click> `*"
FULL = alert(
    tenant_id="org_<1>",
    database_id="uuid",
    database_name="f-01jd",
    binding="DB_01JD",
    repair="rebind",
    sightings=3,
    evidence={"shard": "f-pool-1", "found": None},
    first_seen="2026-11-25T08:00:00.000000Z",
    last_seen="2026-11-25T12:00:00.000000Z",
)


class Strict(BaseModel):
    """Take nothing that is not declared."""

    model_config = ConfigDict(extra="forbid", strict=True)


class PlainText(Strict):
    type: Literal["plain_text"]
    text: Annotated[str, Field(min_length=1, max_length=150)]
    emoji: bool = True


class Mrkdwn(Strict):
    type: Literal["mrkdwn"]
    text: Annotated[str, Field(min_length=1, max_length=3000)]


class Header(Strict):
    type: Literal["header"]
    text: PlainText


class Section(Strict):
    type: Literal["section"]
    text: Mrkdwn | None = None
    fields: Annotated[list[Mrkdwn], Field(min_length=1, max_length=10)] | None = None


class Context(Strict):
    type: Literal["context"]
    elements: Annotated[list[Mrkdwn], Field(min_length=1, max_length=10)]


class SlackMessage(Strict):
    """Block Kit, as Slack's reference has it."""

    text: Annotated[str, Field(min_length=1, max_length=40_000)]
    blocks: Annotated[
        list[Annotated[Header | Section | Context, Field(discriminator="type")]],
        Field(max_length=50),
    ]


class Payload(Strict):
    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)

    summary: Annotated[str, Field(min_length=1, max_length=1024)]
    source: Annotated[str, Field(min_length=1)]
    severity: Literal["critical", "error", "warning", "info"]
    timestamp: str
    class_: Annotated[str, Field(alias="class")]
    component: str | None = None
    custom_details: dict[str, Any]


class PagerDutyEvent(Strict):
    """Events API v2, as PagerDuty's reference has it."""

    routing_key: Annotated[str, Field(min_length=32, max_length=32)]
    event_action: Literal["trigger", "acknowledge", "resolve"]
    dedup_key: Annotated[str, Field(min_length=1, max_length=255)]
    payload: Payload
    client: str


def texts(message: SlackMessage) -> str:
    return json.dumps(message.model_dump(), ensure_ascii=False)


@pytest.fixture
def slack(receiver: Receiver, poster: Poster) -> Slack:
    return Slack(poster, lambda: receiver.url("/services/T/B/secret"))


@pytest.fixture
def pagerduty(receiver: Receiver, poster: Poster) -> PagerDuty:
    return PagerDuty(poster, receiver.url("/v2/enqueue"), lambda: KEY, "prod")


@pytest.fixture
def webhook(receiver: Receiver, poster: Poster) -> Webhook:
    return Webhook(poster, receiver.url("/hook"), lambda: SECRET, lambda: datetime.now(UTC))


@pytest.mark.parametrize("state", ["firing", "resolved"])
@pytest.mark.parametrize("severity", ["info", "warning", "error", "critical"])
def test_slack_takes_what_is_posted(
    receiver: Receiver, slack: Slack, state: str, severity: str
) -> None:
    """Both texts begin with the state; kind, fingerprint, tenant and database are there."""
    slack.send(Alert.of({**FULL.facts, "state": state, "severity": severity}))
    (posted,) = receiver.posted
    assert posted.headers["content-type"] == "application/json"
    message = SlackMessage.model_validate_json(posted.body)
    header = message.blocks[0]
    assert isinstance(header, Header)
    mark = f"[{state.upper()}]"
    assert message.text.startswith(mark)
    assert header.text.text.startswith(mark)
    for part in (FULL.kind, FULL.fingerprint, "org_&lt;1&gt;", "f-01jd", "DB_01JD", "rebind"):
        assert part in texts(message)


def test_nobody_rings_a_channel_by_his_name() -> None:
    """What tenants chose is escaped wherever it stands."""
    message = slack_message(alert(summary=NASTY, tenant_id=NASTY, database_name=NASTY))
    text = texts(SlackMessage.model_validate(message))
    assert "<" not in text
    assert ">" not in text
    assert "&lt;!channel&gt; &amp; " in text


@pytest.mark.parametrize("filler", ["x", "&", "<", "ß"])
def test_long_texts_are_cut_within_slacks_limits(filler: str) -> None:
    """No half escape is left at the end, and the fingerprint stays whole."""
    message = slack_message(alert(summary=filler * 9000, tenant_id=filler * 9000))
    parsed = SlackMessage.model_validate(message)
    assert parsed.text.endswith(f"({'f' * 32})")
    for part in [*message["blocks"][2]["fields"], message["blocks"][1]["text"]]:
        without = part["text"].replace("&amp;", "").replace("&lt;", "")
        assert "&" not in without
    assert all(len(each["text"]) <= 2000 for each in message["blocks"][2]["fields"])


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, b"no_service", "404 no_service"),
        (400, b"invalid_blocks", "400 invalid_blocks"),
        (403, b"<html>https://hooks.slack.com/services/T/B/secret", "403"),
    ],
)
def test_slacks_word_is_passed_on(
    receiver: Receiver, slack: Slack, status: int, body: bytes, told: str
) -> None:
    """One word of Slack's is told; anything else could quote the URL."""
    receiver.usual = lambda _: Answer(status, body)
    with pytest.raises(Permanent) as caught:
        slack.send(FULL)
    assert f"({told})" in caught.value.reason
    assert "secret" not in caught.value.reason


def test_slack_may_be_busy(receiver: Receiver, slack: Slack) -> None:
    """429 passes."""
    receiver.usual = lambda _: Answer(429, headers={"Retry-After": "30"})
    with pytest.raises(Transient) as caught:
        slack.send(FULL)
    assert caught.value.retry_after == 30


def test_pagerduty_takes_what_is_sent(receiver: Receiver, pagerduty: PagerDuty) -> None:
    """A trigger and its resolve have one key, of fleet and fingerprint; facts go along."""
    receiver.usual = lambda _: Answer(202, b'{"status":"success"}')
    pagerduty.send(FULL)
    pagerduty.send(Alert.of({**FULL.facts, "state": "resolved"}))
    trigger, resolve = (
        PagerDutyEvent.model_validate_json(posted.body) for posted in receiver.at("/v2/enqueue")
    )
    assert (trigger.event_action, resolve.event_action) == ("trigger", "resolve")
    assert trigger.dedup_key == resolve.dedup_key == f"prod/{FULL.fingerprint}"
    assert trigger.routing_key == KEY
    assert trigger.payload.summary.startswith("[FIRING] binding_missing: ")
    assert resolve.payload.summary.startswith("[RESOLVED] binding_missing: ")
    assert (trigger.payload.class_, trigger.payload.component) == ("binding_missing", "f-01jd")
    assert trigger.payload.custom_details["fingerprint"] == FULL.fingerprint
    datetime.fromisoformat(trigger.payload.timestamp)


def test_a_bare_address_of_pagerduty_gets_its_path(receiver: Receiver, poster: Poster) -> None:
    """`ALERT_PAGERDUTY_URL` may name the host alone."""
    PagerDuty(poster, receiver.url(""), lambda: KEY, "prod").send(FULL)
    PagerDuty(poster, receiver.url("/own/path"), lambda: KEY, "prod").send(FULL)
    assert [posted.path for posted in receiver.posted] == ["/v2/enqueue", "/own/path"]


def test_pagerduty_summaries_are_cut(receiver: Receiver, pagerduty: PagerDuty) -> None:
    """1,024 characters, whatever the tenant is called."""
    pagerduty.send(alert(summary="x" * 5000))
    PagerDutyEvent.model_validate_json(receiver.posted[0].body)


def test_pagerduty_refuses_without_quoting_the_key(
    receiver: Receiver, pagerduty: PagerDuty
) -> None:
    """A wrong key is for a person, and stays out of the reason."""
    receiver.usual = lambda _: Answer(400, f"bad routing_key {KEY}".encode())
    with pytest.raises(Permanent, match="alerts/pagerduty-key") as caught:
        pagerduty.send(FULL)
    assert KEY not in caught.value.reason


def test_the_signed_webhook_verifies(receiver: Receiver, webhook: Webhook) -> None:
    """The official libraries take the signature; one bit more or another secret, they don't."""
    webhook.send(FULL)
    (posted,) = receiver.posted
    headers = dict(posted.headers)
    assert Judge(SECRET).verify(posted.body, headers)["type"] == "alert.firing"
    SvixJudge(SECRET).verify(posted.body, headers)
    with pytest.raises(WebhookVerificationError):
        SvixJudge(SECRET).verify(posted.body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        SvixJudge("whsec_" + "QUJD" * 8).verify(posted.body, headers)


def test_the_webhook_says_what_is_known(receiver: Receiver, webhook: Webhook) -> None:
    """Type, time, key, status, severity, kind, tenant, counts, and the message as people see it."""
    webhook.send(FULL)
    webhook.send(Alert.of({**FULL.facts, "state": "resolved"}))
    firing, resolved = (json.loads(posted.body) for posted in receiver.posted)
    assert (firing["type"], resolved["type"]) == ("alert.firing", "alert.resolved")
    assert firing["timestamp"] == FULL.facts["at"]
    data = firing["data"]
    assert data["key"] == data["fingerprint"] == FULL.fingerprint
    assert (data["status"], data["severity"], data["kind"]) == ("firing", "error", FULL.kind)
    assert (data["tenant"], data["count"]) == ("org_<1>", 3)
    assert data["first_seen"] < data["last_seen"]
    assert data["message"].startswith("[FIRING] ")
    assert resolved["data"]["message"].startswith("[RESOLVED] ")


def test_a_repeat_has_the_id_of_the_first(receiver: Receiver, webhook: Webhook) -> None:
    """The receiver tells repeats by `webhook-id`, though each attempt is signed anew."""
    webhook.send(FULL)
    webhook.send(FULL)
    ids = [posted.headers["webhook-id"] for posted in receiver.posted]
    assert ids == [f"msg_{FULL.id}"] * 2


@pytest.mark.parametrize("secret", ["", "plain", "whsec_c2hvcnQ="])
def test_a_secret_that_can_not_sign_is_named_not_quoted(
    receiver: Receiver, poster: Poster, secret: str
) -> None:
    """Nothing goes out unsigned."""
    wrong = Webhook(poster, receiver.url(), lambda: secret, lambda: datetime.now(UTC))
    with pytest.raises(Permanent, match="alerts/webhook-secret") as caught:
        wrong.send(FULL)
    assert not secret or secret not in caught.value.reason
    assert receiver.posted == []


def test_a_receiver_that_refuses_is_named_by_its_setting(
    receiver: Receiver, webhook: Webhook
) -> None:
    """Its answer is a stranger's text and told to nobody."""
    receiver.usual = lambda _: Answer(410, b"strange")
    with pytest.raises(Permanent, match="ALERT_WEBHOOK_URL") as caught:
        webhook.send(FULL)
    assert "strange" not in caught.value.reason


def test_an_alert_without_a_text_is_told_by_its_kind(receiver: Receiver, slack: Slack) -> None:
    """A reason may be empty; a row that no channel can be given would stay for ever."""
    slack.send(alert(summary=""))
    message = SlackMessage.model_validate_json(receiver.posted[0].body)
    assert message.text.startswith("[FIRING] binding_missing: binding_missing")
