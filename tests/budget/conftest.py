"""A real DynamoDB interface over HTTP, empty for each test, and a clock that only tests move."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from shared.aws.table import Table


class Clock:
    """Stand still until told otherwise."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class OneAtATime:
    """Let one call at a time into moto: its conditional updates are not atomic between threads."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._lock = threading.Lock()

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        with self._lock:
            answer: Iterable[bytes] = self._app(environ, start_response)
            return answer


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """Where moto answers, or DynamoDB Local where `DYNAMODB_LOCAL_URL` says."""
    if given := os.environ.get("DYNAMODB_LOCAL_URL"):
        yield given
        return
    app = OneAtATime(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def connect(url: str) -> Any:
    return boto3.resource(
        "dynamodb",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(connect_timeout=1, read_timeout=5, retries={"max_attempts": 0}),
    ).meta.client


@pytest.fixture
def client_of() -> Callable[[str], Any]:
    return connect


@pytest.fixture
def table(dynamodb_url: str) -> Iterator[Table]:
    client = connect(dynamodb_url)
    name = f"state-{uuid4().hex}"
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
    )
    yield Table(client, name)
    client.close()
