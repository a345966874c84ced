"""What tests of several folders share."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore import session
from botocore.loaders import create_loader
from httpx._transports import default as transports
from xdist.scheduler import LoadScopeScheduling

from local.aws import backends
from tests.support.moto import moto_process

LONGEST = ("e2e_kill", "e2e", "usecases", "e2e_audit", "cli", "local")
"""Folders to begin with, so that no worker process ends long after the others."""


class ByStack(LoadScopeScheduling):
    """Give each file to one process, and all files that share stacks to the same."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "tests/e2e" if file.startswith("tests/e2e/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByStack:
    """Let xdist deal the tests out so, in the order of their collection."""
    return ByStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; within a folder the order stays."""
    items.sort(key=_rank)


def _rank(item: pytest.Item) -> int:
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)


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
def _read_models_once() -> Iterator[None]:
    """Let all sessions of boto3 in a process share what they read from botocore's files.

    Each test has a session of its own, and would parse megabytes of JSON anew.
    """
    shared = create_loader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "create_loader", lambda _search_path=None: shared)
        yield


@pytest.fixture(scope="session", autouse=True)
def _read_certificates_once() -> Iterator[None]:
    """Let all of httpx's clients in a process share one default context.

    Each would read all the certificates that there are, for addresses that have none.
    """
    shared = httpx.create_ssl_context()
    make = transports.create_ssl_context

    def context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> Any:
        plain = verify is True and cert is None
        return shared if plain else make(verify=verify, cert=cert, trust_env=trust_env)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transports, "create_ssl_context", context)
        yield


@pytest.fixture(scope="session", autouse=True)
def _lean_moto() -> None:
    """Let moto cost what a call touches and not what its tables hold, as in the local stack."""
    backends.install_dynamodb()
