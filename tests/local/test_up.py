"""`d1fleet up`: starts empty, says where everything is, and leaves nothing behind."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import psutil
import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from local.aws.cloud import listen
from local.stack import Ports, Stack, StackFailed

ROOT = Path(__file__).parents[2]
UP = "import sys; from pathlib import Path; from local.up import main; sys.exit(main(Path.cwd()))"

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


class Up:
    """An `up` in a process and a process group of its own."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.log = folder / "up.log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "POOL_TARGET": "1",
            **settings,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP],
                cwd=folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def stack_file(self) -> Path:
        return self.folder / ".d1fleet" / "stack.json"

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def running(self) -> bool:
        """Say whether it is up; fail when it has ended."""
        assert self.process.poll() is None, self.said()
        return self.stack_file.exists()

    def family(self) -> list[psutil.Process]:
        """Return it and all that it started."""
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Start `up` in a folder."""
    started = []

    def start(**settings: str) -> Up:
        started.append(Up(tmp_path, **settings))
        return started[-1]

    yield start
    for each in started:
        each.end()


def left(family: list[psutil.Process]) -> list[psutil.Process]:
    return [process for process in family if process.is_running() and process.status() != "zombie"]


def test_it_says_where_everything_is_and_ends_on_ctrl_c(
    up: Callable[..., Up], eventually: Callable[..., None]
) -> None:
    """stack.json leads to every door; a second `up` is refused; Ctrl-C to the group ends all."""
    running = up()
    eventually(running.running, within=90)
    stack = json.loads(running.stack_file.read_text(encoding="utf-8"))
    check_doors(stack)
    assert stat.S_IMODE(running.stack_file.stat().st_mode) == 0o600

    second = up()
    assert second.process.wait(20) == 1
    assert "is running in this folder already" in second.said()
    assert running.running()

    family = running.family()
    assert len(family) > 6
    os.killpg(running.process.pid, signal.SIGINT)
    os.killpg(running.process.pid, signal.SIGINT)
    assert running.process.wait(10) == 0
    assert left(family) == []
    assert not running.stack_file.exists()


def check_doors(stack: dict[str, Any]) -> None:
    """Ask each door that stack.json names."""
    assert set(stack) == {
        "webhooks_url",
        "app_url",
        "console_url",
        "cloudflare",
        "aws",
        "secrets",
    }
    refused = httpx.post(f"{stack['webhooks_url']}/webhooks/auth/clerk", content=b"{}")
    assert refused.status_code in {400, 401, 415}
    assert httpx.get(f"{stack['app_url']}/t/nobody/notes").status_code == 404
    cloudflare = stack["cloudflare"]
    token = {"Authorization": f"Bearer {cloudflare['api_token']}"}
    listed = httpx.get(
        f"{cloudflare['base_url']}/accounts/{cloudflare['account_id']}/d1/database", headers=token
    )
    assert len(listed.json()["result"]) >= 1
    assert httpx.get(f"{cloudflare['control_url']}/stats").json()["total"] > 0
    aws = stack["aws"]
    session = boto3.Session("x", "x", region_name=aws["region"])
    dynamodb = session.client("dynamodb", endpoint_url=aws["endpoint_url"])
    found = dynamodb.query(
        TableName=aws["table"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": "FLEET"}},
    )
    assert found["Count"] == 1
    sqs = session.client("sqs", endpoint_url=aws["endpoint_url"])
    for url in aws["queues"].values():
        assert url.startswith(aws["endpoint_url"])
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    assert set(stack["secrets"]) >= {"auth/clerk", "auth/standard"}
    assert all(value.startswith("whsec_") for value in stack["secrets"].values())
    dynamodb.close()
    sqs.close()


def test_it_starts_empty_with_the_settings_of_its_environment_and_dies_without_a_trace(
    up: Callable[..., Up], eventually: Callable[..., None], tmp_path: Path
) -> None:
    """Nothing is left of an earlier run; settings reach the functions; SIGKILL leaves no child."""
    old = tmp_path / ".d1fleet" / "cloudflare" / "old"
    old.mkdir(parents=True)
    running = up(SHARD_CAPACITY="7")
    eventually(running.running, within=90)
    assert not old.exists()
    aws = json.loads(running.stack_file.read_text(encoding="utf-8"))["aws"]
    session = boto3.Session("x", "x", region_name=aws["region"])
    api = session.client("lambda", endpoint_url=aws["endpoint_url"])
    for function in api.list_functions()["Functions"]:
        assert str(function["Environment"]["Variables"]["SHARD_CAPACITY"]) == "7"
    api.close()
    family = running.family()
    running.process.kill()
    running.process.wait()
    eventually(lambda: left(family) == [])


def test_a_signal_while_it_starts_ends_it(
    up: Callable[..., Up], eventually: Callable[..., None]
) -> None:
    """SIGTERM half-way through the start: status 130, soon, and nothing is left."""
    starting = up()
    eventually(lambda: "Cloudflare answers" in starting.said(), within=60)
    family = starting.family()
    starting.process.send_signal(signal.SIGTERM)
    assert starting.process.wait(10) == 130
    assert left(family) == []
    assert not starting.stack_file.exists()


def test_a_wrong_setting_ends_it_with_a_line(up: Callable[..., Up]) -> None:
    """The line names the setting; the status is 1."""
    refused = up(DATABASE_CLASSES="moon")
    assert refused.process.wait(60) == 1
    assert "DATABASE_CLASSES" in refused.said()
    assert "Traceback" not in refused.said()


def test_a_part_that_dies_ends_it(up: Callable[..., Up], eventually: Callable[..., None]) -> None:
    """When AWS's process dies, `up` says so, stops everything else and fails."""
    running = up()
    eventually(running.running, within=90)
    family = running.family()
    (aws,) = [process for process in family if "local.aws.server" in process.cmdline()]
    aws.kill()
    assert running.process.wait(20) == 1
    assert "AWS ended (status -9)" in running.said()
    assert left(family) == []


@pytest.mark.parametrize(
    ("take_away", "named"),
    [
        (lambda source: source["Resources"].pop("WorkQueue"), "WorkQueue"),
        (
            lambda source: source["Globals"]["Function"]["Environment"]["Variables"].pop(
                "BIND_QUEUE_URL"
            ),
            "BIND_QUEUE_URL",
        ),
    ],
)
def test_a_template_without_what_is_needed_does_not_start(
    tmp_path: Path, take_away: Callable[[dict[str, Any]], object], named: str
) -> None:
    """A queue or a variable less, and the stack names it before anything is started."""
    source = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
    take_away(source)
    path = tmp_path / "template.yaml"
    path.write_text(yaml.safe_dump(source), encoding="utf-8")
    with pytest.raises(StackFailed, match=named):
        Stack(tmp_path, template=path).start()
    assert not (tmp_path / ".d1fleet" / "logs").exists()


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    """The line says which port, and for what."""
    with listen(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackFailed, match=rf"port {port} for webhooks is taken"):
            Stack(tmp_path, ports=Ports(webhooks=port)).start()
