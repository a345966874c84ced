"""What the webhooks' door refuses through the real gateway, and that nothing of it is stored."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.running import Running, clerk_body, svix_headers, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]

FORGERS = "whsec_" + "Zm9yZ2Vk" * 4
DISTANT = timedelta(minutes=5, seconds=30)


def stored(running: Running) -> set[str]:
    """Return the keys of all tenants, all events seen, all alerts to send, and all letters kept."""
    aws = running.description["aws"]
    pages = (
        running.aws("dynamodb")
        .get_paginator("scan")
        .paginate(TableName=aws["table"], ProjectionExpression="pk, sk")
    )
    rows = {f"{i['pk']['S']} {i['sk']['S']}" for page in pages for i in page["Items"]}
    letters = running.aws("s3").list_objects_v2(Bucket=aws["bucket"], Prefix="dead-letters/")
    return {row for row in rows if row.startswith(("TENANT#", "INBOX#", "OUTBOX"))} | {
        each["Key"] for each in letters.get("Contents", ())
    }


class Deliveries:
    """Deliver wrong things."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.body = clerk_body("org_refused")

    def send(
        self,
        body: str | bytes | None = None,
        *,
        method: str = "POST",
        provider: str = "clerk",
        signed: str | None = None,
        secret: str | None = None,
        sent_at: datetime | None = None,
        **headers: str,
    ) -> tuple[int, dict[str, Any]]:
        sent = self.body if body is None else body
        text = sent if signed is None and isinstance(sent, str) else (signed or self.body)
        good = svix_headers(secret or self.running.secret, text, "msg_refused", sent_at)
        given = {**good, **{name.replace("_", "-"): value for name, value in headers.items()}}
        url = f"{self.running.description['webhooks_url']}/webhooks/auth/{provider}"
        answer = self.running.http.request(
            method,
            url,
            content=sent,
            headers={name: value for name, value in given.items() if value},
        )
        assert answer.headers["content-type"].startswith("application/json")
        return answer.status_code, answer.json()


@pytest.fixture
def deliveries(running: Running) -> Deliveries:
    return Deliveries(running)


def test_each_refusal_has_its_status_and_leaves_nothing(deliveries: Deliveries) -> None:
    """Forged, stale, truncated, huge, compressed, of another type: refused in words, not kept."""
    send, now = deliveries.send, datetime.now(UTC)
    before = stored(deliveries.running)
    huge = clerk_body("org_refused", public_metadata={"x": "y" * (1024 * 1024)})
    refused = {
        "unknown provider": (404, send(provider="myspace")),
        "provider that is not configured": (404, send(provider="workos")),
        "GET": (405, send(method="GET")),
        "wrong type": (415, send(content_type="text/plain")),
        "no type": (415, send(content_type="")),
        "compressed": (
            415,
            send(gzip.compress(deliveries.body.encode()), content_encoding="gzip"),
        ),
        "too large": (413, send(huge)),
        "not JSON": (400, send("tenant=acme")),
        "truncated": (400, send(deliveries.body[:-7])),
        "no signature": (400, send(svix_signature="")),
        "no time": (400, send(svix_timestamp="")),
        "forged": (401, send(secret=FORGERS)),
        "another body": (401, send(clerk_body("org_other"), signed=deliveries.body)),
        "stale": (401, send(sent_at=now - DISTANT)),
        "from the future": (401, send(sent_at=now + DISTANT)),
    }
    assert {what: got[0] for what, (_, got) in refused.items()} == {
        what: status for what, (status, _) in refused.items()
    }
    for status, body in (got for _, got in refused.values()):
        assert body, status
        said = json.dumps(body)
        assert deliveries.running.secret not in said
        assert "org_refused" not in said
    assert stored(deliveries.running) == before
    assert deliveries.running.tenant("org_refused") is None


@pytest.fixture
def alerts(running: Running) -> Iterator[Any]:
    """Subscribe a queue to the topic; return how to read the alerts that came."""
    sqs, sns = running.aws("sqs"), running.aws("sns")
    url = sqs.create_queue(QueueName="alerts-of-a-test")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    subscribed = sns.subscribe(
        TopicArn=running.description["aws"]["topic_arn"],
        Protocol="sqs",
        Endpoint=arn["Attributes"]["QueueArn"],
    )

    def read() -> list[dict[str, Any]]:
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", ())
        return [json.loads(message["Body"]) for message in found]

    yield read
    sns.unsubscribe(SubscriptionArn=subscribed["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.parametrize("tenant_id", ["org acme/../etc", "x" * 129], ids=["forbidden", "too_long"])
def test_a_signed_event_with_a_forbidden_id_becomes_a_dead_letter(
    running: Running, alerts: Any, tenant_id: str
) -> None:
    """Well signed but refused: kept aside with its body, alerted, and no tenant."""
    before = stored(running)
    body = clerk_body(tenant_id)
    answer = running.deliver(body)
    assert (answer.status_code, answer.json()["status"]) == (200, "dead_lettered")
    new = stored(running) - before
    assert sorted(key.split("#")[0].split("/")[0].split(" ")[0] for key in new) == [
        "INBOX",
        "OUTBOX",
        "dead-letters",
    ]
    (kept,) = (key for key in new if key.startswith("dead-letters/"))
    bucket = running.description["aws"]["bucket"]
    letter = running.aws("s3").get_object(Bucket=bucket, Key=kept)["Body"].read()
    assert letter.decode() == body
    running.cli("reconcile", "--sweep")
    # The sweep also sends what other tests of this stack gave cause for.
    subject = "[FIRING] webhook_dead_lettered"
    about_it = lambda: [each for each in alerts() if each["Subject"].startswith(subject)]  # noqa: E731
    (alert,) = wait_until("the alert", about_it)
    assert tenant_id not in alert["Message"]
