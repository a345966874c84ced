"""A whole AWS of small functions: a template, moto in its process, handlers of the tests' own."""

import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from local.aws.cloud import Aws
from local.aws.deploy import client
from local.functions.environment import Launch
from local.functions.lambda_service import LambdaService
from local.processes import Lifeline
from tests.local.items import TABLE
from tests.support.moto import moto_process


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """Run moto in its process, for all tests that want one."""
    with moto_process(tmp_path_factory.mktemp("aws")) as started:
        yield started


@pytest.fixture
def table(aws: Aws) -> Iterator[Any]:
    """Make an empty table with an index; return its client."""
    dynamodb = client("dynamodb", aws.endpoint_url)
    names = ("pk", "sk", "kind", "due")
    dynamodb.create_table(
        TableName=TABLE,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_kind",
                "KeySchema": [
                    {"AttributeName": "kind", "KeyType": "HASH"},
                    {"AttributeName": "due", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    yield dynamodb
    dynamodb.delete_table(TableName=TABLE)
    dynamodb.close()


@pytest.fixture
def lifeline() -> Iterator[Lifeline]:
    """Tie children to the test."""
    line = Lifeline()
    yield line
    line.close()


@pytest.fixture
def handlers(tmp_path: Path) -> Callable[[str], Path]:
    """Write a module `handlers` into a folder of its own, and return the folder."""

    def write(source: str) -> Path:
        folder = tmp_path / "code"
        folder.mkdir(exist_ok=True)
        (folder / "handlers.py").write_text(textwrap.dedent(source), encoding="utf-8")
        return folder

    return write


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until a condition holds, at most so many seconds."""

    def wait(condition: Callable[[], object], within: float = 20) -> None:
        until = time.monotonic() + within
        while not condition():
            assert time.monotonic() < until, "it did not come about in time"
            time.sleep(0.02)

    return wait


@pytest.fixture
def start(
    tmp_path: Path, lifeline: Lifeline, handlers: Callable[[str], Path]
) -> Iterator[Callable[..., LambdaService]]:
    """Start a service with functions of a module's source; they find `tmp_path` in HERE."""
    services = []

    def make(source: str, *names: str, timeout: float = 20, most: int = 2) -> LambdaService:
        root = handlers(source)
        launches = {
            name: (
                Launch(
                    name=name,
                    arn=f"arn:aws:lambda:us-east-1:123456789012:function:{name}",
                    handler=f"handlers.{name}",
                    timeout=timeout,
                    memory=128,
                    variables={"SETTING": "on", "HERE": str(tmp_path)},
                    root=root,
                    log=tmp_path / f"{name}.log",
                ),
                most,
            )
            for name in names
        }
        services.append(LambdaService(launches, lifeline))
        return services[-1]

    yield make
    for service in services:
        service.stop()
