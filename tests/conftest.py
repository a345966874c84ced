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

from local.aws import backends
from tests.support.moto import moto_process

LONGEST = ("e2e_kill", "e2e", "usecases", "e2e_audit", "cli", "local")
"""Folders to begin with, so that no worker process ends long after the others."""
STACKS = ("stack", "quick_stack")
"""Fixtures of tests/e2e that are made once a process, at the cost of many tests."""


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; keep what shares something dear in one process."""
    items.sort(key=_rank)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def _rank(item: pytest.Item) -> int:
    folder = _where(item).parts[0]
    return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)


def _group(item: pytest.Item) -> str:
    """Return the shared stack that a test uses, or else its file."""
    fixtures = getattr(item, "fixturenames", ())
    shared = next((name for name in STACKS if name in fixtures), None)
    return shared if shared and item.path.parent.name == "e2e" else str(_where(item))


def _where(item: pytest.Item) -> Path:
    return item.path.relative_to(Path(__file__).parent)


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
