"""Alerts to the fleet's SNS topic: a line for people, then JSON; attributes for filters."""

import json
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.domain.alert import Alert
from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_sns.client import SNSClient

__all__ = ["Topic", "connect_topic"]


def connect_topic(topic_arn: str) -> "Topic":
    """Return the channel to a topic; the client is opened when first used."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return Topic(cache(lambda: boto3.client("sns", config=config)), topic_arn)


class Topic:
    """Publish alerts to a topic."""

    name = "sns"

    def __init__(self, sns: "Callable[[], SNSClient]", topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def send(self, alert: Alert) -> None:
        """Publish one alert.

        Raises:
            Transient: SNS did not take it. A topic that is gone is made anew by a deployment.
        """
        # SNS takes 100 printable ASCII characters.
        subject = "".join(char if " " <= char <= "~" else " " for char in alert.title)[:100]
        body = json.dumps(alert.facts, indent=2)
        try:
            self._sns().publish(
                TopicArn=self._topic_arn,
                Subject=subject,
                Message=f"{alert.title}\nfingerprint: {alert.fingerprint}\n{body}",
                MessageAttributes={
                    "kind": {"DataType": "String", "StringValue": alert.kind},
                    "severity": {"DataType": "String", "StringValue": alert.severity},
                },
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"alert.{alert.kind} could not be sent: {error}") from error
