"""Which channels there are: chosen by settings and secrets, and none in the way of another."""

from collections.abc import Callable

import boto3
import pytest
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.config import Config

from shared.aws.secrets import SecretStore, secret_store
from shared.domain.alert import Channel
from shared.domain.finding import Severity, Sighting
from shared.outside_wiring import build_outside
from shared.settings import Settings
from shared.usecases.tell import Tell
from tests.alerting.conftest import Desk
from tests.support.receiver import Receiver

KEY = "R" * 32
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Choose = Callable[..., tuple[Channel, ...]]


def put(name: str, value: str) -> None:
    boto3.client("secretsmanager").create_secret(Name=f"test/alerts/{name}", SecretString=value)


@pytest.fixture
def choose(desk: Desk, receiver: Receiver) -> Choose:
    """Return the channels of a deployment with these settings, and the secrets put so far."""

    def chosen(secrets: SecretStore | None = None, **settings: str) -> tuple[Channel, ...]:
        given = {**desk.control.settings.model_dump(), "alert_allow_private": True, **settings}
        given["alert_pagerduty_url"] = receiver.url("/pagerduty")
        outside = build_outside(
            Settings.model_validate(given), desk.control, secrets or secret_store("test")
        )
        return outside.channels()

    return chosen


def open_finding(desk: Desk) -> None:
    sighting = Sighting("binding_missing", "db-1", Severity.ERROR, "a database is not bound")
    desk.keep([sighting], compared={"binding_missing"}, trace="t")


def test_without_a_word_there_is_the_topic_alone(choose: Choose) -> None:
    """Every other channel is an operator's choice."""
    assert [channel.name for channel in choose()] == ["sns"]


def test_secrets_and_settings_choose(desk: Desk, receiver: Receiver, choose: Choose) -> None:
    """Each gets the alert at its own address, and all of them are told apart."""
    put("slack-url", receiver.url("/slack"))
    put("pagerduty-key", KEY)
    put("webhook-secret", SECRET)
    channels = choose(alert_webhook_url=receiver.url("/hook"))
    assert [channel.name for channel in channels] == ["sns", "slack", "pagerduty", "webhook"]
    open_finding(desk)
    assert Tell(desk.control, channels)("t").failing == {}
    assert [posted.path for posted in receiver.posted] == ["/slack", "/pagerduty", "/hook"]
    assert desk.rows() == []


def test_a_webhook_without_its_secret_fails_alone(
    desk: Desk, receiver: Receiver, choose: Choose
) -> None:
    """Nothing goes out unsigned; who chose it learns where to put the secret."""
    channels = choose(alert_webhook_url=receiver.url("/hook"))
    open_finding(desk)
    failing = Tell(desk.control, channels)("t").failing
    assert failing == {"webhook": "put a value into the secret test/alerts/webhook-secret"}
    assert receiver.posted == []
    assert desk.topic.said[0] == "[FIRING] binding_missing"


def test_a_secret_in_a_wrong_form_fails_alone(
    desk: Desk, receiver: Receiver, choose: Choose
) -> None:
    """The other channels are told, of that too."""
    put("slack-url", '{"url": "hidden"}')
    put("pagerduty-key", KEY)
    channels = choose()
    open_finding(desk)
    (reason,) = Tell(desk.control, channels)("t").failing.values()
    assert "test/alerts/slack-url" in reason
    assert "hidden" not in reason
    assert len(receiver.at("/pagerduty")) == len(desk.topic.took) == 2
    assert desk.topic.said[1] == "[FIRING] alert_channel_failing"


def test_secrets_that_can_not_be_read_keep_no_alert_from_the_topic(
    desk: Desk, receiver: Receiver, choose: Choose
) -> None:
    """Secrets Manager is down: the topic is told, the rest waits until it is back."""
    put("slack-url", receiver.url("/slack"))
    nowhere = boto3.client(
        "secretsmanager",
        endpoint_url="http://127.0.0.1:1",
        config=Config(connect_timeout=1, retries={"total_max_attempts": 1}),
    )
    down = SecretStore(SecretsProvider(boto3_client=nowhere), "test")
    open_finding(desk)
    assert set(Tell(desk.control, choose(down))("t").failing) == {"slack", "pagerduty"}
    assert desk.topic.said[0] == "[FIRING] binding_missing"
    desk.wait(minutes=5)
    Tell(desk.control, choose())("t")
    assert b"[FIRING] binding_missing" in receiver.at("/slack")[0].body
    assert desk.rows() == []
