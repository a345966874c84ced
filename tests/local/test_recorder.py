"""Which AWS calls a request is, as IAM counts them."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from local.aws.recorder import calls_of


@pytest.mark.parametrize(
    ("service", "target", "body", "calls"),
    [
        (
            "dynamodb",
            "DynamoDB_20120810.TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "t"}},
                    {"ConditionCheck": {"TableName": "t"}},
                ]
            },
            [("dynamodb:PutItem", "t"), ("dynamodb:ConditionCheckItem", "t")],
        ),
        (
            "dynamodb",
            "DynamoDB_20120810.Query",
            {"TableName": "t", "IndexName": "ready"},
            [("dynamodb:Query", "t/index/ready")],
        ),
        (
            "sqs",
            "AmazonSQS.SendMessageBatch",
            {"QueueUrl": "http://127.0.0.1:1/123456789012/work"},
            [("sqs:SendMessage", "work")],
        ),
        (
            "secretsmanager",
            "secretsmanager.GetSecretValue",
            {"SecretId": "local/auth/clerk"},
            [("secretsmanager:GetSecretValue", "local/auth/clerk")],
        ),
        (
            "events",
            "AWSEvents.PutEvents",
            {"Entries": [{"EventBusName": "bus"}]},
            [("events:PutEvents", "bus")],
        ),
    ],
)
def test_a_request_is_the_actions_that_iam_counts(
    service: str, target: str, body: Mapping[str, Any], calls: list[tuple[str, str]]
) -> None:
    """A transaction is its writes, a batch its single action, a query of an index that index."""
    assert list(calls_of(service, "POST", "/", target, json.dumps(body).encode())) == calls


def test_a_file_in_a_bucket_is_named_by_its_path() -> None:
    """Reads and writes of S3 carry no target: method and path say it all."""
    assert list(calls_of("s3", "PUT", "/bucket/dead-letters/a%20b", "", b"")) == [
        ("s3:PutObject", "bucket/dead-letters/a b")
    ]


@pytest.mark.parametrize(
    ("method", "query", "action"),
    [
        ("GET", "versioning", "GetBucketVersioning"),
        ("GET", "versionId=v1", "GetObjectVersion"),
        ("POST", "uploads", "PutObject"),
        ("PUT", "partNumber=1&uploadId=u", "PutObject"),
        ("DELETE", "uploadId=u", "AbortMultipartUpload"),
    ],
)
def test_a_query_says_what_is_done_to_a_file(method: str, query: str, action: str) -> None:
    """IAM has an action of its own for a version, a part and a bucket's switches."""
    assert list(calls_of("s3", method, f"/bucket/a?{query}", "", b"")) == [
        (f"s3:{action}", "bucket/a")
    ]


def test_a_published_alert_names_its_topic() -> None:
    """SNS speaks in forms."""
    body = b"Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A1%3At&Message=x"
    assert list(calls_of("sns", "POST", "/", "", body)) == [
        ("sns:Publish", "arn:aws:sns:us-east-1:1:t")
    ]
