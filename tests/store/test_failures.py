"""When the table does not answer, or is used wrongly: what is passing, and what is a bug."""

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from shared.aws.items import Change, inbox_put
from shared.aws.pools import Pools
from shared.aws.state import State
from shared.aws.table import Put, Table, connect
from shared.domain.tenant import TenantStatus
from shared.errors import Conflict, Transient

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
    dynamodb_url: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the environment says where the table is; plain values go in and come out."""
    for name, value in {
        "AWS_ENDPOINT_URL": dynamodb_url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    connected = connect(table.name)
    connected.write(Put({"pk": "X", "sk": "META", "n": 1, "on": True, "list": ["a"]}))
    assert table.get("X") == {"pk": "X", "sk": "META", "n": 1, "on": True, "list": ["a"]}
    connected._client.close()


BUSY = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"]


@pytest.fixture
def stubbed(client: Any) -> Iterator[Stubber]:
    """The client with answers of DynamoDB's that neither engine gives on demand."""
    with Stubber(client) as stub:
        yield stub


def cancelled(stub: Stubber, *reasons: dict[str, str]) -> None:
    stub.add_client_error(
        "transact_write_items",
        "TransactionCanceledException",
        http_status_code=400,
        modeled_fields={"CancellationReasons": list(reasons)},
    )


def test_a_transaction_that_others_were_in_the_way_of_is_tried_again(stubbed: Stubber) -> None:
    """Contention says nothing about the conditions: the same transaction is sent anew."""
    for code in BUSY:
        cancelled(stubbed, {"Code": "None"}, {"Code": code})
    stubbed.add_client_error("transact_write_items", "TransactionInProgressException")
    stubbed.add_response("transact_write_items", {})
    Table(stubbed.client, "state").transact([Put({"pk": "X", "sk": "META"})])
    stubbed.assert_no_pending_responses()


def test_a_table_that_stays_contended_is_transient(stubbed: Stubber) -> None:
    """After a few tries the attempt ends and comes back later."""
    for _ in range(6):
        cancelled(stubbed, {"Code": BUSY[0]})
    with pytest.raises(Transient, match="the table is contended") as error:
        Table(stubbed.client, "state").transact([Put({"pk": "X", "sk": "META"})])
    assert error.value.retry_after == 1
    stubbed.assert_no_pending_responses()


def test_a_failed_condition_counts_more_than_contention(stubbed: Stubber) -> None:
    """A transaction that met both lost: it is not tried again."""
    cancelled(stubbed, {"Code": "TransactionConflict"}, {"Code": "ConditionalCheckFailed"})
    writes = [Put({"pk": "Y", "sk": "META"}), inbox_put("INBOX#x", datetime.now(UTC), {})]
    with pytest.raises(Conflict, match="event is new"):
        Table(stubbed.client, "state").transact(writes)


def test_a_transaction_that_dynamodb_cancels_for_another_reason_is_a_bug(stubbed: Stubber) -> None:
    """A write that can never succeed crashes instead of being tried for ever."""
    cancelled(stubbed, {"Code": "ValidationError"})
    with pytest.raises(ClientError, match="TransactionCanceledException"):
        Table(stubbed.client, "state").transact([Put({"pk": "X", "sk": "META"})])


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("ProvisionedThroughputExceededException", 400),
        ("TransactionConflictException", 400),
        ("InternalServerError", 500),
        ("ServiceUnavailable", 503),
    ],
)
def test_a_busy_table_is_transient(stubbed: Stubber, code: str, status: int) -> None:
    """Throttling, a transaction in the way of a single write, 5xx: later the same may work."""
    stubbed.add_client_error("put_item", code, http_status_code=status)
    with pytest.raises(Transient, match=f"DynamoDB is busy: {code}"):
        Table(stubbed.client, "state").write(Put({"pk": "X", "sk": "META"}))
