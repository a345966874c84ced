"""A deployed stack for the command line: AWS from the template, Cloudflare from the emulator.

The functions do not run by themselves here: `Stack.work` takes their messages, in this process, so
that a test sees the states in between. Everything else is as it is on a laptop or in the cloud.
"""

import base64
import gc
import json
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local.aws.cloud import listen
from local.aws.deploy import client, deploy
from local.aws.template import compile_template
from local.cloudflare.emulator import Emulator
from local.serving import Served
from shared import wiring
from shared.aws.backups import BackupStore
from shared.domain.billing_events import Word
from shared.domain.database import MAKING, Database, DatabaseStatus
from shared.domain.links import Hint
from shared.domain.messages import parse_message
from shared.domain.subscription import Fact, Standing
from shared.domain.tenant import Tenant
from shared.doors import handle
from shared.observability import Meter
from shared.outside_wiring import build_reconciling
from shared.settings import Settings
from shared.usecases.advance_database import AdvanceDatabase
from shared.usecases.advance_tenant import AdvanceTenant
from shared.usecases.keep_books import KeepBooks, Said
from shared.usecases.make_backup import MakeBackup
from shared.usecases.overviews import PoolRow, pool_rows
from shared.usecases.publish_worker import PublishWorker
from shared.usecases.refill_pool import RefillPool
from shared.usecases.restore_backup import RestoreBackup
from shared.usecases.sweep import Sweep
from shared.usecases.worker_code import WorkerCode
from tests.cli.running import Ran, environment, forget_connections, run
from tests.support.moto import moto_process

ROOT = Path(__file__).resolve().parents[2]
NAME = "cli-test"
PAUSE = 0.05
"""Seconds between looks at empty queues: each one costs the moto process as much as a message."""
ADMIN = "whsec_" + base64.b64encode(b"a" * 32).decode()
NOTES = "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL);\n"


@dataclass
class LambdaDoor:
    """Lambda's Invoke: runs what a test puts here, and tells what it was asked."""

    answer: Callable[[dict[str, Any]], tuple[Any, bool]] = lambda _: (None, False)
    asked: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, environ: Any, start: Any) -> list[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        payload = json.loads(body or b"{}")
        self.asked.append({"path": environ["PATH_INFO"], "payload": payload})
        answer, failed = self.answer(payload)
        headers = [("Content-Type", "application/json")]
        if failed:
            headers.append(("X-Amz-Function-Error", "Unhandled"))
        start("200 OK", headers)
        return [json.dumps(answer).encode()]


def briefly(seconds: float) -> None:
    """Wait between polls, but not as long as a real export takes."""
    time.sleep(min(seconds, 0.05))


class Silent(Meter):
    """Write no metrics: standard output is the command's, which may run at the same time."""

    def count(self, name: str, value: float = 1, **dimensions: str) -> None:
        """Count nothing."""


@dataclass
class Stack:
    """One deployed stack and the folder whose `.d1fleet/stack.json` names it."""

    folder: Path
    emulator: Emulator
    endpoint_url: str
    settings: Settings
    outputs: dict[str, str]
    parts: wiring.Parts
    lambda_door: LambdaDoor
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def store(self) -> BackupStore:
        """The bucket of this stack, as the backup function has it."""
        return BackupStore(self.aws("s3"), self.settings.bucket_name)

    @property
    def sql(self) -> Path:
        """The folder with the migrations that are pushed."""
        return self.folder / "migrations"

    @staticmethod
    def run(*arguments: str, typed: str | None = None, **environ: str) -> Ran:
        """Run the command line in this process; `typed` comes from standard input."""
        return run(*arguments, typed=typed, **environ)

    def aws(self, service: str) -> Any:
        """A boto3 client of this stack's AWS."""
        if service not in self.clients:
            self.clients[service] = client(service, self.endpoint_url)
        return self.clients[service]

    def forget(self) -> None:
        """Close every connection to what is about to end."""
        for each in self.clients.values():
            each.close()
        self.clients.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            del self.parts
            gc.collect()

    def sweep(self, payload: dict[str, Any]) -> tuple[Any, bool]:
        """What the reconcile function does."""
        if payload == {"task": "sweep"}:
            report = Sweep(self.parts.control, self.parts.outside)("test")
            return {"tenants": report.tenants, "databases": report.databases}, False
        control, outside = self.parts.control, self.parts.outside
        after = build_reconciling(self.settings, control, outside)
        if payload["task"] == "settle":
            self._take(self.settings.bind_queue_url)
            self._take(self.settings.work_queue_url)
            return after.settled(payload["run"], "test"), False
        answer = after.nightly(
            "test", lambda: 1e6, run_id=payload.get("run"), dry=payload.get("dry", False)
        )
        return answer.model_dump(mode="json"), False

    def work(self, until: Callable[[], bool], seconds: float = 60) -> None:
        """Do the functions' work until something holds."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "the work has not come to its end"
            urls = (
                self.settings.work_queue_url,
                self.settings.bind_queue_url,
                self.settings.backup_queue_url,
            )
            if not sum(self._take(url) for url in urls):
                time.sleep(PAUSE)

    def _take(self, url: str) -> int:
        sqs = self.aws("sqs")
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
        for message in found.get("Messages", ()):
            self._deliver(parse_message(message["Body"]), url)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return len(found.get("Messages", ()))

    def _deliver(self, message: Any, url: str) -> None:
        control, outside = self.parts.control, self.parts.outside
        if message.kind == "shard" and url == self.settings.work_queue_url:
            control.queues.wake(message.id, message.trace)
            return
        handlers = {
            "tenant": AdvanceTenant(control, outside),
            "database": AdvanceDatabase(control, outside),
            "pool": RefillPool(control),
            "shard": PublishWorker(control, outside, WorkerCode()),
            "backup": MakeBackup(control, outside, self.store, self.folder, briefly),
            "restore": RestoreBackup(control, outside, self.store, self.folder, briefly),
        }
        handle(control, Silent("test"), handlers, message)

    def pools(self) -> list[PoolRow]:
        """How the pools stand."""
        return pool_rows(self.parts.control)

    def databases(self) -> list[Database]:
        """The databases of the pools."""
        state = self.parts.control.state
        return [
            database
            for class_ in self.settings.database_classes
            for status in (DatabaseStatus.READY, *MAKING)
            for database in state.databases(class_, status)
        ]

    def fill(self) -> None:
        """Have the pools full, and nothing on its way."""
        if not self.full():
            self.run("pool", "fill")
            self.work(self.full)

    def full(self) -> bool:
        return all(row.ready >= row.target and not row.making for row in self.pools())

    def write(self, tenant_id: str, sql: str) -> None:
        """Have SQL run on a tenant's database."""
        assert self.run("sql", tenant_id, sql, "--write").status == 0

    def read(self, tenant_id: str, sql: str, *more: str) -> list[Any]:
        """The values of the first column that SQL gives."""
        ran = self.run("sql", tenant_id, sql, *more, "--json")
        assert ran.status == 0, ran.stderr
        return [next(iter(row.values())) for row in ran.data]

    def gone(self, tenant_id: str, *more: str) -> None:
        """Have a tenant closed, its database deleted."""
        assert self.run("tenants", "close", tenant_id, "--grace", "P0D", *more).status == 0
        self.work(lambda: self.status(tenant_id) == "closed" and self.tenant(tenant_id).settled)

    def billing_says(self, tenant_id: str | None, standing: Standing, **more: Any) -> None:
        """Have billing say something of a tenant's subscription, or of one of nobody known."""
        now = self.parts.control.now()
        fact = Fact(standing=standing, at=now, said=str(standing), **more)
        hint = None if tenant_id is None else Hint(tenant_id=tenant_id, vouched=True)
        word = Word(subscription_id=f"sub_{tenant_id}", hint=hint, fact=fact)
        said = Said("stripe", "test", word, why="a test", trace="test")
        tenant = KeepBooks(self.parts.control).enter(said).tenant
        if tenant is not None:
            self.parts.control.enqueue("tenant", tenant.tenant_id, trace="test")

    def active(self, tenant_id: str) -> None:
        """Have a tenant provisioned and live."""
        if self.status(tenant_id) == "active":
            return
        assert self.run("tenants", "provision", tenant_id).status == 0
        self.work(lambda: self.status(tenant_id) == "active")

    def status(self, tenant_id: str) -> str:
        tenant = self.parts.control.state.tenant(tenant_id)
        return tenant.status if tenant else "unknown"

    def tenant(self, tenant_id: str) -> Tenant:
        """A tenant that is there."""
        tenant = self.parts.control.state.tenant(tenant_id)
        assert tenant is not None
        return tenant


@contextmanager
def working(stack: Stack) -> Iterator[None]:
    """The functions work while the block runs."""
    over = threading.Event()
    thread = threading.Thread(target=stack.work, args=(over.is_set,))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def secret_for(emulator: Emulator) -> Callable[[str], str]:
    known = {"cloudflare-token": emulator.api_token, "router-admin": ADMIN}
    return lambda name: known.get(name, ADMIN)


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack: deployed, set up with `init`, the first migration pushed."""
    folder = tmp_path_factory.mktemp("stack")
    with ExitStack() as closing:
        emulator = closing.enter_context(Emulator(folder / "cloudflare"))
        emulator.start()
        door = LambdaDoor()
        invoking = Served(listen(0), door, "invocations")
        closing.callback(invoking.stop)
        aws = closing.enter_context(moto_process(folder, invoking.url))
        compiled = compile_template(
            ROOT / "template.yaml",
            {
                "FLEET": "clit",
                "CLOUDFLARE_ACCOUNT_ID": emulator.account.account_id,
                "CLOUDFLARE_API_URL": emulator.base_url,
                "WORKERS_DEV_URL": f"{emulator.workers_url}/{{script}}",
                "DATABASE_CLASSES": "weur,eu",
                "POOL_TARGET": "2",
                "SHARD_CAPACITY": "200",
                "ACCESS_SETTLE": "PT1S",
            },
        )
        made = deploy(
            compiled,
            stack=NAME,
            endpoint_url=aws.endpoint_url,
            secret_value=secret_for(emulator),
            extra_outputs={},
        )
        settings = Settings.from_env(made.functions[0].environment)
        forget_connections()
        (folder / "migrations").mkdir()
        (folder / "migrations" / "0001_notes.sql").write_text(NOTES)
        (folder / ".d1fleet").mkdir()
        (folder / ".d1fleet" / "stack.json").write_text(
            json.dumps({"aws": {"endpoint_url": aws.endpoint_url, "region": "us-east-1"}})
        )
        with environment(**credentials(aws.endpoint_url)):
            parts = wiring.build("test", settings)
        stack = Stack(folder, emulator, aws.endpoint_url, settings, dict(made.outputs), parts, door)
        del parts
        door.answer = stack.sweep
        gc.freeze()  # each run of the command line collects what it left, and not all of this
        yield stack
        stack.forget()


def credentials(endpoint_url: str) -> dict[str, str]:
    """What leads to the stack's AWS, for as long as a test of this folder runs and no longer."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


@pytest.fixture
def stack(deployed: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stack, set up, seen from its folder, with the first migration pushed."""
    monkeypatch.chdir(deployed.folder)
    with environment(**credentials(deployed.endpoint_url)):
        if deployed.parts.control.fleet.read() is None:
            assert run("init", "--json").status == 0
            assert run("migrations", "push", str(deployed.sql)).status == 0
        yield deployed
        deployed.lambda_door.answer = deployed.sweep


@pytest.fixture
def cli() -> Callable[..., Ran]:
    """The command line."""
    return run


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder without a stack, and no AWS account anywhere."""
    monkeypatch.chdir(tmp_path)
    with environment(AWS_EC2_METADATA_DISABLED="true", AWS_CONFIG_FILE=os.devnull):
        for name in list(os.environ):
            if name.startswith("AWS_") and name not in {
                "AWS_EC2_METADATA_DISABLED",
                "AWS_CONFIG_FILE",
            }:
                del os.environ[name]
        yield tmp_path
