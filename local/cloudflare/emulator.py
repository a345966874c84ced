"""The emulator as one object: everything wired together, started and stopped."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from local.cloudflare.account import ALL_GROUPS, Account
from local.cloudflare.control import control_blueprint
from local.cloudflare.d1_routes import bucket_blueprint, d1_blueprint
from local.cloudflare.databases import Databases
from local.cloudflare.dispatch import Namespaces, dispatch_blueprint
from local.cloudflare.doors import PREFIX
from local.cloudflare.engine import D1Engine
from local.cloudflare.envelope import ApiError, failed
from local.cloudflare.faults import Faults
from local.cloudflare.front_config import FrontContext, Running
from local.cloudflare.fronts import Fronts, Workers
from local.cloudflare.gate import Gate, route_names
from local.cloudflare.limiter import Limiter
from local.cloudflare.misc_routes import misc_blueprint
from local.cloudflare.models import Version
from local.cloudflare.modules import ModuleFiles
from local.cloudflare.pages import Pages, pages_blueprint
from local.cloudflare.script_routes import script_blueprint
from local.cloudflare.scripts import ScriptHooks, Scripts
from local.cloudflare.server import Server
from local.cloudflare.stats import Stats
from local.cloudflare.store import Store
from local.cloudflare.supervisor import Supervisor
from local.cloudflare.transfers import Transfers
from local.cloudflare.travel import TimeTravel
from local.cloudflare.version_routes import version_blueprint

__all__ = ["Emulator"]

ACCOUNT_ID = "e0000000000000000000000000000001"
API_TOKEN = "emulator-api-token"  # noqa: S105 - opens nothing but this emulator
_MOST_BODY = 512 * 1024 * 1024


class Emulator:
    """Emulate one Cloudflare account, with its state in `data_dir`.

    `app` alone (through `httpx.WSGITransport`) is the whole API, with SQL; Workers are kept but
    do not run, and their code is not tried out. `start()` serves the API over HTTP and runs the
    Workers. `clock` (epoch seconds) governs the rate limit and the times that the API shows.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        workers_port: int = 0,
        account_id: str = ACCOUNT_ID,
        api_token: str = API_TOKEN,
        subdomain: str | None = "d1fleet",
        calls: int = 1200,
        window: float = 300.0,
        databases: int = 50_000,
        clock: Callable[[], float] = time.time,
        root: Path | None = None,
    ) -> None:
        self._data_dir = data_dir.resolve()
        self._root = root or Path(__file__).resolve().parents[2]
        self._port = port
        self._workers_port = workers_port
        self._run = self._data_dir / "run"
        self._run.mkdir(parents=True, exist_ok=True)
        for leftover in self._run.glob("*.capnp"):
            leftover.unlink()
        self.account = Account(account_id, clock, {api_token: ALL_GROUPS}, subdomain, databases)
        self.api_token = api_token
        self.limiter = Limiter(calls, window, clock)
        self.stats = Stats(clock)
        self._supervising = threading.Lock()
        self._running: Supervisor | None = None
        self._server: Server | None = None
        self._runs_workers = False

        self._store = Store(self._data_dir / "state.sqlite")
        self._files = ModuleFiles(self._data_dir / "modules")
        self.engine = D1Engine(self._data_dir, self._root / "node_modules", self._supervisor)
        self.databases = Databases(self.account, self._store, self.engine)
        self.databases.load()
        travel = TimeTravel.build(self.account, self.engine, self._data_dir / "bookmarks")
        self.transfers = Transfers(self.engine, travel.current)
        self.fronts = Fronts(self._supervisor, self._context, self._workers)
        hooks = ScriptHooks(
            database_exists=self.databases.exists,
            service_exists=lambda name: name in self.scripts.by_name,
            namespace_exists=lambda name: name in self.namespaces.by_name,
            validate=self._validate,
            changed=self.fronts.changed,
        )
        self.scripts = Scripts(self.account, self._store, hooks)
        self.scripts.load()
        self.namespaces = Namespaces(self.account, self._store, hooks)
        self.namespaces.load()
        self.pages = Pages(self.account, self._store)
        self.pages.load()

        flask = Flask(__name__, static_folder=None, root_path=str(Path(__file__).parent))
        flask.config.update(
            MAX_CONTENT_LENGTH=_MOST_BODY, MAX_FORM_MEMORY_SIZE=_MOST_BODY, MAX_FORM_PARTS=25_000
        )
        flask.register_blueprint(d1_blueprint(self.databases, self.engine, self.transfers, travel))
        flask.register_blueprint(bucket_blueprint(self.transfers))
        flask.register_blueprint(script_blueprint(self.account, self.scripts, self._files))
        flask.register_blueprint(version_blueprint(self.account, self.scripts, self._files))
        flask.register_blueprint(dispatch_blueprint(self.account, self.namespaces, self._files))
        flask.register_blueprint(pages_blueprint(self.account, self.pages))
        flask.register_blueprint(misc_blueprint(self.account))
        self._refusals(flask)
        names = route_names(flask)
        self.faults = Faults(names)
        flask.register_blueprint(
            control_blueprint(
                self.account, self.stats, self.limiter, self.faults, self.fronts, names
            )
        )
        self.app = Gate(flask, self.account, self.stats, self.limiter, self.faults)

    @property
    def base_url(self) -> str:
        """Return the base of the API."""
        return f"{self._origin()}{PREFIX}"

    @property
    def control_url(self) -> str:
        """Return the base of the control door."""
        return f"{self._origin()}/__emulator"

    @property
    def workers_url(self) -> str:
        """Return the base of the running Workers: `{workers_url}/{script}/…`."""
        return f"http://127.0.0.1:{self._supervisor().workers_port}"

    def start(self) -> Self:
        """Serve the API and run the Workers that were deployed before.

        Raises:
            RuntimeFailed: Node or its packages are missing, or the Workers' port is taken.
            OSError: the API's port is taken.
        """
        self._server = Server(self.app, self._port)
        try:
            self._supervisor()
            self.engine.start()
            self._runs_workers = True
            self.fronts.start()
            self._server.start()
        except BaseException:
            self.stop()
            raise
        self.settle()
        return self

    def stop(self) -> None:
        """End every process and every thread that answers; the state stays on disk."""
        self.app.stop()
        if self._server is not None:
            self._server.stop()
        self.fronts.stop()
        with self._supervising:
            if self._running is not None:
                self._running.stop()
        self.fronts.join()
        self.engine.close()
        self._store.close()

    def settle(self, seconds: float = 30.0) -> bool:
        """Wait until everything that was deployed runs; say whether it does."""
        return self.fronts.settle(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _origin(self) -> str:
        return f"http://127.0.0.1:{self._server.port if self._server else 0}"

    def _supervisor(self) -> Supervisor:
        with self._supervising:
            if self._running is None:
                supervisor = Supervisor(self._root, self._run / "workers.log", self._ended)
                supervisor.start(self._workers_port)
                self._running = supervisor
            return self._running

    def _ended(self, key: str) -> None:
        if key == "d1-host":
            self.engine.restart()
        else:
            self.fronts.ended(key)

    def _context(self) -> FrontContext:
        return FrontContext(
            host_port=self.engine.start(),
            newest_date=self._supervisor().compatibility_date,
            modules=self._files.folder,
            folder=self._run,
        )

    def _workers(self) -> Workers:
        with self.account.lock:
            own = [
                Running(
                    name,
                    self.scripts.deployed(name),
                    script.subdomain,
                    self.scripts.second(name),
                )
                for name, script in self.scripts.by_name.items()
                if script.deployments
            ]
            return [*own, *self.namespaces.running()]

    def _validate(self, version: Version) -> str | None:
        return self.fronts.validate(version) if self._runs_workers else None

    def _refusals(self, flask: Flask) -> None:
        """Answer what no route does, and what belongs to another account, as the API does."""

        @flask.url_value_preprocessor
        def take_account(_endpoint: str | None, values: dict[str, str] | None) -> None:
            g.account = values.pop("a", None) if values else None

        @flask.before_request
        def check_account() -> Response | None:
            if g.account in {None, self.account.account_id}:
                return None
            if "/d1/" in request.path:
                message = (
                    "The given account is not valid or is not authorized to access this service"
                )
                return failed(403, (7403, message))
            return _unroutable()

        flask.register_error_handler(ApiError, _api_error)
        flask.register_error_handler(HTTPException, _http_error)


def _api_error(error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return failed(error.status, (error.code, error.message))


def _http_error(error: Exception) -> Response:
    if isinstance(error, NotFound):
        return _unroutable()
    if isinstance(error, MethodNotAllowed):
        return failed(405, (7001, f"{request.method} not supported for requested URI."))
    if not isinstance(error, HTTPException):
        raise error
    return failed(error.code or 500, (10001, error.description or "Bad request"))


def _unroutable() -> Response:
    path = request.path.removeprefix(PREFIX)
    message = f"Could not route to {path}, perhaps your object identifier is invalid?"
    return failed(404, (7003, message), (7000, "No route for that URI"))
