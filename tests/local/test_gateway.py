"""The HTTP API on this machine: events, answers, and what API Gateway says by itself."""

import base64
import http.client
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError

from local.aws.cloud import listen
from local.aws.deploy import Route
from local.functions.environment import Result, failure
from local.functions.gateway import LARGEST_BODY, Gateway, response_of
from local.functions.invoke_api import InvokeApi
from local.functions.lambda_service import LambdaService
from local.serving import Served

EVENTS = Path(__file__).parents[1] / "events"
ROUTE = Route("on_signup", "ANY", "/webhooks/auth/{provider}")

SOURCE = """
    import json

    def on_signup(event, context):
        headers = {"content-type": "application/json", "x-method":
                   event["requestContext"]["http"]["method"]}
        body = event.get("body", "")
        if body == "fail":
            raise RuntimeError("no")
        answer = {"provider": event["pathParameters"]["provider"], "length": len(body),
                  "base64": event["isBase64Encoded"]}
        return {"statusCode": 201, "headers": headers, "cookies": ["a=1"],
                "body": json.dumps(answer)}
"""


@pytest.fixture
def gateway(start: Callable[..., LambdaService]) -> Iterator[str]:
    """Serve a gateway before one function; return its address."""
    service = start(SOURCE, "on_signup")

    def invoke(function: str, payload: bytes, patience: float) -> Result:
        return service.invoke(function, payload, patience=patience)

    served = Served(listen(0), Gateway([ROUTE], invoke), "gateway")
    yield served.url
    served.stop()


def test_a_request_is_the_documented_event() -> None:
    """The golden event of payload format 2.0: what the function will see on AWS."""
    golden = json.loads((EVENTS / "http_v2_webhook.json").read_text(encoding="utf-8"))
    seen: list[dict[str, Any]] = []

    def invoke(_function: str, payload: bytes, _patience: float) -> Result:
        seen.append(json.loads(payload))
        return Result(b'{"statusCode": 204}')

    served = Served(listen(0), Gateway([ROUTE], invoke), "gateway")
    where = urlsplit(served.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.putrequest(
        "POST", f"{golden['rawPath']}?{golden['rawQueryString']}", True, skip_accept_encoding=True
    )
    for name, value in (
        ("Host", "127.0.0.1:8787"),
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(golden["body"]))),
        ("Svix-Id", "msg_1"),
        ("User-Agent", "Svix-Webhooks/1.0"),
        ("Cookie", "c1=1; c2=2"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
    ):
        connection.putheader(name, value)
    connection.endheaders(golden["body"].encode())
    assert connection.getresponse().status == 204
    connection.close()
    served.stop()
    event = seen[0]
    assert abs(event["requestContext"]["timeEpoch"] / 1000 - time.time()) < 60
    for name in ("requestId", "time", "timeEpoch"):
        assert type(event["requestContext"][name]) is type(golden["requestContext"][name])
        event["requestContext"][name] = golden["requestContext"][name]
    assert event == golden


def test_a_body_that_is_not_text_is_base64(gateway: str) -> None:
    """Bytes of an unknown type, or text that is none, reach the function in base64."""
    for kind, body in (("application/octet-stream", b"abc"), ("application/json", b"\xff\xfe\x00")):
        answer = httpx.post(
            f"{gateway}/webhooks/auth/clerk", content=body, headers={"content-type": kind}
        )
        assert answer.json() == {
            "provider": "clerk",
            "length": len(base64.b64encode(body)),
            "base64": True,
        }


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "POST"])
def test_every_method_reaches_the_function(gateway: str, method: str) -> None:
    """The route takes any method; status, headers and cookies are the function's."""
    answer = httpx.request(method, f"{gateway}/webhooks/auth/workos")
    assert answer.status_code == 201
    assert answer.headers["x-method"] == method
    assert answer.headers["content-type"] == "application/json"
    assert answer.cookies["a"] == "1"
    assert answer.json()["provider"] == "workos"


@pytest.mark.parametrize("path", ["/", "/webhooks/auth", "/webhooks/auth/a/b", "/webhooks/other/a"])
def test_no_route_is_not_found(gateway: str, path: str) -> None:
    """What no route takes never reaches a function."""
    answer = httpx.post(f"{gateway}{path}")
    assert (answer.status_code, answer.json()) == (404, {"message": "Not Found"})


def test_a_function_that_fails_is_an_internal_error(gateway: str) -> None:
    """The caller learns nothing of the error."""
    answer = httpx.post(
        f"{gateway}/webhooks/auth/clerk", content="fail", headers={"content-type": "text/plain"}
    )
    assert (answer.status_code, answer.json()) == (500, {"message": "Internal Server Error"})


def test_a_body_without_a_length_is_read_to_its_end(gateway: str) -> None:
    """Chunked bodies are put together, and the connection serves the next request too."""
    with httpx.Client() as http:
        for _ in range(2):
            answer = http.post(
                f"{gateway}/webhooks/auth/clerk",
                content=iter([b"abc", b"defg"]),
                headers={"content-type": "text/plain"},
            )
            assert answer.json()["length"] == 7


def test_a_body_over_ten_megabytes_is_refused(gateway: str) -> None:
    """The gateway itself refuses it, by its length alone, before it is sent."""
    where = urlsplit(gateway)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    connection.putrequest("POST", "/webhooks/auth/clerk")
    connection.putheader("Content-Length", str(LARGEST_BODY + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read()) == {"message": "Request Entity Too Large"}
    connection.close()


@pytest.mark.parametrize(
    ("result", "status", "body"),
    [
        (failure("Runtime.ExitError", "gone"), 500, '{"message": "Internal Server Error"}'),
        (Result(b"not json"), 500, '{"message": "Internal Server Error"}'),
        (Result(b'{"statusCode": "many"}'), 500, '{"message": "Internal Server Error"}'),
        (Result(b'{"plain": 1}'), 200, '{"plain": 1}'),
        (Result(b'{"statusCode": 204}'), 204, ""),
        (Result(b'{"statusCode": 200, "body": "aGk=", "isBase64Encoded": true}'), 200, "hi"),
    ],
)
def test_what_a_function_came_to_is_an_answer(result: Result, status: int, body: str) -> None:
    """Answers of every shape that API Gateway knows, and those it can't use."""
    response = response_of(result)
    assert (response.status_code, response.get_data(as_text=True)) == (status, body)


@pytest.fixture
def invoke_api(start: Callable[..., LambdaService]) -> Iterator[Any]:
    """Serve Invoke; return boto3's client of it."""
    api = InvokeApi()
    served = Served(listen(0), api, "invoke-api")
    api.service = start(SOURCE, "on_signup")
    client = boto3.client(
        "lambda",
        endpoint_url=served.url,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    yield client
    client.close()
    served.stop()


def test_boto3_invokes_a_function(invoke_api: Any) -> None:
    """AWS's own client gets the function's answer, and is told when it failed."""
    payload = {
        "requestContext": {"http": {"method": "x"}},
        "pathParameters": {"provider": "p"},
        "isBase64Encoded": False,
    }
    answer = invoke_api.invoke(FunctionName="on_signup", Payload=json.dumps(payload))
    assert answer["StatusCode"] == 200
    assert "FunctionError" not in answer
    assert json.loads(answer["Payload"].read())["statusCode"] == 201
    failed = invoke_api.invoke(FunctionName="on_signup", Payload=b"{}")
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "KeyError"


def test_boto3_invokes_a_function_without_waiting(
    invoke_api: Any, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """An event invocation is accepted at once, and runs."""
    answer = invoke_api.invoke(FunctionName="on_signup", InvocationType="Event", Payload=b"{}")
    assert answer["StatusCode"] == 202
    log = tmp_path / "on_signup.log"
    eventually(lambda: log.exists() and "REPORT RequestId" in log.read_text(encoding="utf-8"))


def test_an_unknown_function_is_not_found(invoke_api: Any) -> None:
    """The error is the one that AWS's client knows."""
    with pytest.raises(ClientError) as refused:
        invoke_api.invoke(FunctionName="other")
    assert refused.value.response["Error"]["Code"] == "ResourceNotFoundException"
