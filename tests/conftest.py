"""What tests of several folders share."""

import gc
import os
from collections.abc import Iterator

import pytest

from local.aws import backends
from tests.support.moto import moto_process


def pytest_collection_finish() -> None:
    """Keep what was imported out of every garbage collection: it is large, and it stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def dynamodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where moto answers, or DynamoDB Local where `DYNAMODB_LOCAL_URL` says."""
    if given := os.environ.get("DYNAMODB_LOCAL_URL"):
        yield given
        return
    with moto_process(tmp_path_factory.mktemp("dynamodb")) as aws:
        yield aws.endpoint_url


@pytest.fixture(scope="session", autouse=True)
def _lean_moto() -> None:
    """Let moto cost what a call touches and not what its tables hold, as in the local stack."""
    backends.install_dynamodb()
