"""A control plane without Cloudflare: a table, a bucket, and queues that only remember."""

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.billing.desk import Clients, Desk, open_desk
from tests.support.settings import settings_of

_numbers = itertools.count(1)


@pytest.fixture
def _aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="files")
        yield


@pytest.fixture
def make_desk(_aws: None) -> Callable[..., Desk]:
    """Open a desk over a fresh table; settings as keywords."""
    clients = Clients()

    def make(*, fetches: tuple[str, ...] = (), **settings: Any) -> Desk:
        chosen = settings_of(
            fleet="t",
            table_name=f"state{next(_numbers)}",
            cloudflare_account_id="account",
            **settings,
        )
        return open_desk(clients, chosen, fetches, datetime(2026, 9, 21, 15, 0, tzinfo=UTC))

    return make


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()
