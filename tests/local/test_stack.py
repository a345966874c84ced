"""The stack as an object: its functions, its status, and what it tells."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from local.aws.deploy import client
from local.functions.lambda_service import Counts
from local.stack import Stack, StackFailed
from local.status import Look, Watcher, picture

SLACK = "http://127.0.0.1:9/services/of-the-test"

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack with a pool of one and a secret of the test's."""
    told: list[str] = []
    secrets = {"auth/standard": "whsec_dGhlIHRlc3QncyBvd24gc2VjcmV0"}
    folder = tmp_path_factory.mktemp("stack")
    settings = {"POOL_TARGET": "1", "ALERT_SLACK_URL": SLACK}
    with Stack(folder, settings, secrets=secrets, tell=told.append) as running:
        assert any("webhooks enter at" in line for line in told)
        yield running


def on_screen(look: Look) -> str:
    screen = io.StringIO()
    Console(width=100, file=screen).print(picture(look))
    return screen.getvalue()


def test_every_function_runs_and_is_known_by_its_short_name(stack: Stack) -> None:
    """Each function has a process already, and a log of its short name."""
    doors = {"on_signup", "on_billing"}
    assert set(stack.functions) == {*doors, "provision", "bind", "backup", "reconcile"}
    for short, name in stack.functions.items():
        assert stack.service.pids(name)
        assert (stack.folder / "logs" / f"{short}.log").exists()


def test_a_function_is_invoked_through_the_aws_endpoint(stack: Stack) -> None:
    """AWS's own client, at the one address that stack.json has for AWS, runs the real process."""
    api = client("lambda", stack.description["aws"]["endpoint_url"])
    answer = api.invoke(FunctionName=stack.functions["reconcile"], Payload=b'{"task":"sweep"}')
    assert "FunctionError" not in answer, answer["Payload"].read()
    assert isinstance(json.loads(answer["Payload"].read()), dict)
    assert stack.service.counts()[stack.functions["reconcile"]].invocations == 1
    api.close()


def test_given_secrets_are_used(stack: Stack) -> None:
    """A secret that was given is the one in Secrets Manager and in stack.json."""
    api = client("secretsmanager", stack.description["aws"]["endpoint_url"])
    stored = api.get_secret_value(SecretId="local/auth/standard")["SecretString"]
    assert stored == stack.description["secrets"]["auth/standard"]
    assert stored == "whsec_dGhlIHRlc3QncyBvd24gc2VjcmV0"
    api.close()


def test_a_channel_given_as_a_setting_is_a_secret(stack: Stack) -> None:
    """It is in Secrets Manager, and neither in stack.json nor in a function's environment."""
    api = client("secretsmanager", stack.description["aws"]["endpoint_url"])
    assert api.get_secret_value(SecretId="local/alerts/slack-url")["SecretString"] == SLACK
    with pytest.raises(api.exceptions.ResourceNotFoundException):
        api.get_secret_value(SecretId="local/alerts/pagerduty-key")
    api.close()
    assert SLACK not in stack.stack_file.read_text()
    for name in stack.functions.values():
        environments = [psutil.Process(pid).environ() for pid in stack.service.pids(name)]
        assert SLACK not in str(environments)


def test_the_status_shows_what_goes_on(stack: Stack, eventually: Callable[..., None]) -> None:
    """Calls of the functions, depths of the queues, calls of Cloudflare."""
    watcher = Watcher(stack)
    eventually(lambda: watcher.look().functions["provision"].invocations > 0)
    look = watcher.look()
    queues = {"work", "bind", "backup"}
    assert set(look.queues) == queues | {f"{name}_dlq" for name in queues}
    assert look.cloudflare["total"] > 0
    text = on_screen(look)
    assert "provision" in text
    assert f"Cloudflare calls: {look.cloudflare['total']}" in text


def test_the_status_does_without_what_does_not_answer() -> None:
    """A queue or an emulator that is silent is left out, and nothing is raised."""
    text = on_screen(Look({"bind": Counts(3, 1, 2)}))
    assert "bind" in text
    assert "Cloudflare calls: ?" in text


def test_a_stack_that_does_not_run_has_no_functions(tmp_path: Path) -> None:
    """Asking for them says so."""
    stack: Any = Stack(tmp_path)
    with pytest.raises(StackFailed, match="not running"):
        _ = stack.service
    assert stack.ended() is None
    stack.stop()
