"""The whole stack on one machine, as one object: started and stopped by `d1fleet up` and by tests.

What starts, in this order: the Cloudflare emulator and moto (processes), the stack of
`template.yaml` on moto, the functions (processes, made on demand) with what feeds them (threads of
this process), then the fleet itself. `stack.json` is written last: whoever finds it can use
everything.
"""

import base64
import fcntl
import json
import os
import secrets as randomness
import shutil
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

from local.aws.cloud import Aws, AwsFailed, clean_environment, listen
from local.aws.deploy import Deployment, client, deploy
from local.aws.template import Compiled, TemplateRefused, compile_template, setting_names
from local.description import describe, write_description
from local.emulator import Cloudflare, CloudflareFailed, Doors
from local.functions import schedules
from local.functions.environment import Result
from local.functions.gateway import Gateway
from local.functions.invoke_api import InvokeApi
from local.functions.lambda_service import LambdaService
from local.functions.launching import credentials, launch_of
from local.functions.sources import QueueSource
from local.processes import Child, Lifeline, tail
from local.serving import Served

__all__ = ["Ports", "Stack", "StackFailed", "read_overrides"]

ROOT: Final = Path(__file__).resolve().parents[1]
TEMPLATE: Final = ROOT / "template.yaml"
FOLDER: Final = ".d1fleet"
NAME: Final = "local"
ACCOUNT_ID: Final = "e0000000000000000000000000000001"
MOST_ENVIRONMENTS: Final = 4
"""Processes of one function at once: enough to run beside each other, few enough for two cores."""

DEFAULTS: Final = {
    "FLEET": "local",
    "POOL_TARGET": "3",
    "CLOUDFLARE_ACCOUNT_ID": ACCOUNT_ID,
    "BILLING_MODE": "test",
}
FIXED: Final = frozenset({"CLOUDFLARE_API_URL", "WORKERS_DEV_URL", "ROUTER_URL"})
"""Settings that nobody but the stack can know: its own addresses."""
ALERT_SECRETS: Final = {
    "alerts/slack-url": "ALERT_SLACK_URL",
    "alerts/pagerduty-key": "ALERT_PAGERDUTY_KEY",
    "alerts/webhook-secret": "ALERT_WEBHOOK_SECRET",
}
"""Secrets that only others can give, and the settings by which they give them."""
SEED_PATIENCE: Final = 180.0
NOWHERE: Final = "http://127.0.0.1:1"


class StackFailed(Exception):  # noqa: N818
    """Say in a line or two why the stack can't start."""


@dataclass(frozen=True)
class Ports:
    """Ports on the loopback; 0 takes a free one."""

    webhooks: int = 0
    aws: int = 0
    cloudflare: int = 0
    workers: int = 0


def read_overrides(environ: Mapping[str, str], template: Path = TEMPLATE) -> dict[str, str]:
    """Return the settings that an environment gives to the stack: those that the template takes.

    The stack's own addresses can't be given: it must never reach the real Cloudflare.
    """
    names = sorted(setting_names(template) - FIXED)
    return {name: environ[name] for name in names if environ.get(name, "") != ""}


class Stack:
    """Run everything on this machine, its state in `.d1fleet/` below a folder.

    `settings` are named as in the functions' environment, `secrets` as below the stack's prefix
    (`auth/clerk`); those not given are random. `tell` hears of each step, in a line. `between` is
    given each address that the functions are to call (AWS, Cloudflare's API, the Workers) and
    returns the one that they are told: so a test can stand between them.

    Once it runs, `description` is what `stack.json` says, and `functions` are the full names of the
    functions by their short ones (`provision`).
    """

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        *,
        ports: Ports | None = None,
        secrets: Mapping[str, str] | None = None,
        template: Path = TEMPLATE,
        tell: Callable[[str], None] = lambda _: None,
        between: Callable[[str], str] = lambda url: url,
    ) -> None:
        self.folder = directory.resolve() / FOLDER
        self.description: dict[str, Any] = {}
        self.functions: dict[str, str] = {}
        self._settings = {**DEFAULTS, **(settings or {})}
        self._ports = ports or Ports()
        self._template = template
        self._tell = tell
        self._between = between
        self._secrets = dict(secrets or {})
        self._closing = ExitStack()
        self._watched: dict[str, Child] = {}
        self._stopping = threading.Event()
        self._lock: IO[str] | None = None
        self._service: LambdaService | None = None

    @property
    def stack_file(self) -> Path:
        """Return where clients find the stack."""
        return self.folder / "stack.json"

    @property
    def service(self) -> LambdaService:
        """Return the functions, to invoke them and to find their processes."""
        if self._service is None:
            raise StackFailed("the stack is not running")
        return self._service

    def start(self) -> Self:
        """Start everything; returns when every door answers and the pool has begun to fill.

        Raises:
            StackFailed: in a line or two why it can't; nothing is left running.
        """
        try:
            self._start()
        except (AwsFailed, CloudflareFailed, TemplateRefused, schedules.BadSchedule) as error:
            self.stop()
            raise StackFailed(str(error)) from error
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End everything that was started; may be called at any time, and again."""
        self._stopping.set()
        if self._lock is not None:  # else the file is another stack's
            self.stack_file.unlink(missing_ok=True)
        self._closing.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ended(self) -> str | None:
        """Return what has ended although it should not have, with the end of its log; or None."""
        for name, child in self._watched.items():
            if child.exit_status is not None and not self._stopping.is_set():
                return f"{name} ended (status {child.exit_status}):\n{tail(child.log)}"
        return None

    def _start(self) -> None:
        self._compile(
            NOWHERE, NOWHERE
        )  # what is wrong with the template is said before anything starts
        self._take_folder()
        lifeline = Lifeline()
        self._closing.callback(lifeline.close)
        logs = self.folder / "logs"
        token = self._secret("cloudflare-token")
        limits = {"calls": self._setting("API_LIMIT"), "window": self._setting("API_WINDOW")}
        cloudflare = Cloudflare(
            lifeline=lifeline,
            data=self.folder / "cloudflare",
            logs=logs,
            root=ROOT,
            api_token=token,
            options={
                "account-id": self._settings["CLOUDFLARE_ACCOUNT_ID"],
                "port": str(self._ports.cloudflare),
                "workers-port": str(self._ports.workers),
                **{name: value for name, value in limits.items() if value is not None},
            },
        )
        self._closing.callback(cloudflare.stop)
        invoke_api = InvokeApi()
        invoking = Served(_listen("invocations", 0), invoke_api, "invoke-api")
        self._closing.callback(invoking.stop)
        aws = Aws(
            lifeline=lifeline,
            log=logs / "aws.log",
            root=ROOT,
            lambda_url=invoking.url,
            opened=_listen("AWS", self._ports.aws),
        )
        self._closing.callback(aws.stop)
        self._watched = {"the Cloudflare emulator": cloudflare.child, "AWS": aws.child}
        webhooks = _listen("webhooks", self._ports.webhooks)
        self._closing.callback(webhooks.close)
        doors = cloudflare.wait()
        self._tell(f"Cloudflare answers at {doors.base_url}")
        aws.wait()
        deployment = self._deploy(aws.endpoint_url, doors, webhooks.getsockname()[1])
        self._tell(f"AWS answers at {aws.endpoint_url}")
        service = self._run_functions(deployment, aws.endpoint_url, lifeline, logs)
        invoke_api.service = service
        gateway = Gateway(
            deployment.routes,
            lambda name, payload, patience: service.invoke(name, payload, patience=patience),
        )
        served = Served(webhooks, gateway, "gateway")
        self._closing.callback(served.stop)
        self._tell(f"webhooks enter at {served.url}")
        self._seed(deployment, aws.endpoint_url, lifeline, logs)
        self.description = describe(
            deployment,
            endpoint_url=aws.endpoint_url,
            doors=doors,
            webhooks_url=served.url,
            secret=self._secret,
        )
        write_description(self.stack_file, self.description)

    def _take_folder(self) -> None:
        """Make the folder ours and empty."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = (self.folder / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            lock.close()
            raise StackFailed(
                f"a stack is running in this folder already (process {owner}): stop it first"
            ) from None
        self._lock = lock
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        for entry in self.folder.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry.name != "lock":
                entry.unlink()

    def _setting(self, name: str) -> str | None:
        return self._settings.get(name)

    def _secret(self, name: str) -> str:
        """Return a secret's value, made up when first asked for; empty if only others have it."""
        if name in ALERT_SECRETS:
            return self._secrets.get(name) or self._settings.get(ALERT_SECRETS[name], "")
        if name.endswith("-api-key"):
            return self._secrets.get(name, "")
        if name not in self._secrets:
            random = randomness.token_bytes(32)
            if name == "cloudflare-token":
                self._secrets[name] = base64.urlsafe_b64encode(random).decode().rstrip("=")
            else:
                self._secrets[name] = f"whsec_{base64.b64encode(random).decode()}"
        return self._secrets[name]

    def _compile(self, api_url: str, workers_url: str) -> Compiled:
        # Secrets are no parameters here: they are made below, by their names.
        hidden = ALERT_SECRETS.values()
        settings = {
            **{name: value for name, value in self._settings.items() if name not in hidden},
            "CLOUDFLARE_API_URL": api_url,
            "WORKERS_DEV_URL": f"{workers_url}/{{script}}",
        }
        return compile_template(self._template, settings)

    def _deploy(self, endpoint_url: str, doors: Doors, port: int) -> Deployment:
        return deploy(
            self._compile(self._between(doors.base_url), self._between(doors.workers_url)),
            stack=NAME,
            endpoint_url=endpoint_url,
            secret_value=self._secret,
            extra_outputs={"WebhooksUrl": f"http://127.0.0.1:{port}"},
        )

    def _run_functions(
        self, deployment: Deployment, endpoint_url: str, lifeline: Lifeline, logs: Path
    ) -> LambdaService:
        aws_url = self._between(endpoint_url)
        launches = {
            function.name: (launch_of(function, aws_url, logs), MOST_ENVIRONMENTS)
            for function in deployment.functions
        }
        self.functions = {launch.log.stem: name for name, (launch, _) in launches.items()}
        service = LambdaService(launches, lifeline)
        self._closing.callback(service.stop)
        self._service = service
        for name, refused in service.warm().items():
            self._tell(f"{name} can't be initialised: {_reason(refused)}")
        sqs = client("sqs", endpoint_url)
        for mapping in deployment.mappings:
            source = QueueSource(
                mapping,
                sqs=sqs,
                invoke=service.invoke,
                concurrency=min(mapping.concurrency or MOST_ENVIRONMENTS, MOST_ENVIRONMENTS),
            )
            source.start()
            self._closing.callback(source.stop)
        clock = threading.Thread(
            target=schedules.run,
            args=(deployment.schedules,),
            kwargs={"invoke": service.invoke_later, "stopping": self._stopping},
            name="schedules",
            daemon=True,
        )
        clock.start()
        return service

    def _seed(
        self, deployment: Deployment, endpoint_url: str, lifeline: Lifeline, logs: Path
    ) -> None:
        """Set the fleet up, as an operator would, with the settings of the functions."""
        lines = logs / "seed.out"
        child = Child(
            [sys.executable, "-m", "local.seed", str(ROOT)],
            lifeline=lifeline,
            log=logs / "seed.log",
            environment={
                **clean_environment(),
                **deployment.functions[0].environment,
                **credentials(endpoint_url, "operator"),
            },
            directory=ROOT,
            answers=lines,
        )
        self._closing.callback(child.kill)
        told = 0
        waited = 0.0
        while child.wait(0.05) is None or told < len(_lines(lines)):
            for line in _lines(lines)[told:]:
                self._tell(line)
                told += 1
            waited += 0.05
            if waited > SEED_PATIENCE:
                raise StackFailed(f"the fleet can't be set up in time:\n{tail(child.log)}")
            if (ended := self.ended()) is not None:
                raise StackFailed(ended)
        if child.exit_status != 0:
            raise StackFailed(f"the fleet can't be set up: {tail(child.log, 1)}")


def _listen(what: str, port: int) -> socket.socket:
    try:
        return listen(port)
    except OSError as error:
        raise StackFailed(f"port {port} for {what} is taken: {error.strerror}") from error


def _lines(path: Path) -> list[str]:
    """Return the finished lines of a file."""
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _reason(refused: Result) -> str:
    try:
        return str(json.loads(refused.payload).get("errorMessage", ""))
    except ValueError:
        return refused.payload.decode(errors="replace")
