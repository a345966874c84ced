"""When the table does not answer, or is used wrongly: what is passing, and what is a bug."""

import socket
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from shared.aws.items import Change
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.aws.table import Put, Table, connect
from shared.domain.tenant import TenantStatus
from shared.errors import Transient

CALLS: dict[str, Callable[[State, Any], object]] = {
    "get": lambda state, world: state.tenant("org_1"),
    "query": lambda state, world: state.slots("f-pool-1"),
    "index": lambda state, world: list(state.tenants(TenantStatus.PENDING)),
    "write": lambda state, world: Pools(state.table).ask("weur"),
    "lease": lambda state, world: Pools(state.table).lease("weur", world.now),
    "begin": lambda state, world: state.begin("TENANT", "org_1", None, world.now),
    "postpone": lambda state, world: state.postpone(world.tenant(), wake_at=world.now, failures=0),
    "transact": lambda state, world: state.commit(Change(None, world.tenant())),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_table_that_does_not_answer_is_transient(
    world: Any, call: Callable[[State, Any], object]
) -> None:
    """Nobody listens: the attempt may be made again, and it is not taken for an answer."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = boto3.resource(
            "dynamodb",
            endpoint_url=f"http://127.0.0.1:{unused.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 1}),
        ).meta.client
        with pytest.raises(Transient, match="DynamoDB does not answer"):
            call(State(Table(client, "state")), world)
        client.close()


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_table_that_is_not_there_is_a_bug(
    world: Any, client: Any, call: Callable[[State, Any], object]
) -> None:
    """A wrong name of the table is no reason to wait: it crashes, and the queue shows it."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        call(State(Table(client, "not-there")), world)


def test_writes_that_dynamodb_refuses_are_a_bug(state: State, world: Any) -> None:
    """One item twice, or more than a hundred writes: it crashes and nothing is stored."""
    twice = [Put({"pk": "X", "sk": "META"})] * 2
    many = [Put({"pk": "X", "sk": str(n)}) for n in range(101)]
    for writes in (twice, many):
        with pytest.raises(ClientError, match="ValidationException"):
            state.commit(also=writes)
    assert world.items() == []


def test_the_functions_find_the_table_as_boto3_does(
    engine_url: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the environment says where the table is; plain values go in and come out."""
    for name, value in {
        "AWS_ENDPOINT_URL": engine_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    connected = connect(table.name)
    connected.write(Put({"pk": "X", "sk": "META", "n": 1, "on": True, "list": ["a"]}))
    assert table.get("X") == {"pk": "X", "sk": "META", "n": 1, "on": True, "list": ["a"]}
    connected._client.close()
