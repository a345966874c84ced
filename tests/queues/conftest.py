"""Queues, bus, topic and bucket on moto, in this process, as the functions find them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from samtranslator.yaml_helper import yaml_parse

from shared.alerting.sns import connect_topic
from shared.aws.outbox import Outbox, connect_outbox
from shared.aws.queues import Queues, connect_queues
from shared.aws.table import Table

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@dataclass
class Cloud:
    """What the functions send to, and eyes on what arrived there."""

    table: Table
    sqs: Any
    events: Any
    work: str
    bind: str
    backup: str
    seen_events: str
    seen_alerts: str
    topic: str
    bucket: str

    def queues(self) -> Queues:
        return connect_queues(self.work, self.bind, self.backup)

    def outbox(self, *, bus: str = "fleet", topic: str | None = None) -> Outbox:
        return connect_outbox(self.table, bus, connect_topic(topic or self.topic))

    def received(self, url: str) -> list[dict[str, Any]]:
        """Take everything that can be seen in a queue now."""
        found: list[dict[str, Any]] = []
        while True:
            answer = self.sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=0,
                MessageSystemAttributeNames=["All"],
                VisibilityTimeout=600,
            )
            if not answer.get("Messages"):
                return found
            found += answer["Messages"]

    def delayed(self) -> int:
        """How many messages of the work queue are not to be seen yet."""
        name = "ApproximateNumberOfMessagesDelayed"
        answer = self.sqs.get_queue_attributes(QueueUrl=self.work, AttributeNames=[name])
        return int(answer["Attributes"][name])

    def sent_events(self) -> list[dict[str, Any]]:
        return [json.loads(message["Body"]) for message in self.received(self.seen_events)]

    def sent_alerts(self) -> list[dict[str, Any]]:
        return [json.loads(message["Body"]) for message in self.received(self.seen_alerts)]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        dynamodb = boto3.resource("dynamodb").meta.client
        declared = yaml_parse(TEMPLATE.read_text())["Resources"]["Table"]["Properties"]
        same = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
        dynamodb.create_table(TableName="state", **{key: declared[key] for key in same})
        sqs, events, sns = boto3.client("sqs"), boto3.client("events"), boto3.client("sns")
        fifo = {"FifoQueue": "true"}
        urls = {
            name: sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
            for name, attributes in (
                ("work", {}),
                ("bind.fifo", fifo),
                ("backup", {}),
                ("seen-events", {}),
                ("seen-alerts", {}),
            )
        }
        arns = {
            name: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ]
            for name, url in urls.items()
        }
        events.create_event_bus(Name="fleet")
        pattern = json.dumps({"source": ["d1fleet"]})
        events.put_rule(Name="all", EventBusName="fleet", EventPattern=pattern)
        targets = [{"Id": "seen", "Arn": arns["seen-events"]}]
        events.put_targets(Rule="all", EventBusName="fleet", Targets=targets)
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arns["seen-alerts"])
        boto3.client("s3").create_bucket(Bucket="fleet-bucket")
        yield Cloud(
            Table(dynamodb, "state"),
            sqs,
            events,
            urls["work"],
            urls["bind.fifo"],
            urls["backup"],
            urls["seen-events"],
            urls["seen-alerts"],
            topic,
            "fleet-bucket",
        )
