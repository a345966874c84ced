"""The running Workers: one workerd per generation, and requests that never notice the change.

The API commits a change at once and only says `changed()`; a thread here brings the running Workers
up to it, as Cloudflare's propagation does. While one front starts, further changes gather for
the next.
"""

import contextlib
import itertools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from local.cloudflare.front_config import READY, FrontContext, Running, blame, front_config
from local.cloudflare.models import Version
from local.cloudflare.supervisor import RuntimeFailed, Supervisor

__all__ = ["Fronts", "Workers"]

log = logging.getLogger(__name__)

_PAUSE_SECONDS = 0.5
# Each attempt names one more culprit; more than this in one change is no mistake of one script.
_ATTEMPTS = 20

Workers = Sequence[Running]


class Fronts:
    """Keep the running Workers at what `wanted()` returns.

    `context()` starts what a front needs; a held script keeps the version that runs
    when the hold begins.
    """

    def __init__(
        self,
        supervisor: Callable[[], Supervisor],
        context: Callable[[], FrontContext],
        wanted: Callable[[], Workers],
    ) -> None:
        self._supervisor = supervisor
        self._context = context
        self._wanted = wanted
        self._numbers = itertools.count(1)
        self.started = 0  # how many fronts there have been
        self._state = threading.Condition()
        self._asked = 0
        self._served = 0
        self._stopping = False
        self._key = ""
        self._running: dict[str, Running] = {}
        self._ports: dict[str, int] = {}
        self._held: dict[str, Running | None] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow what is wanted."""
        self._thread = threading.Thread(target=self._follow, name="fronts", daemon=True)
        self._thread.start()
        self.changed()

    def stop(self) -> None:
        """Follow no more; the processes are the supervisor's to end."""
        with self._state:
            self._stopping = True
            self._state.notify_all()

    def join(self) -> None:
        """Wait until nothing follows any more, once the supervisor has been stopped."""
        if self._thread is not None:
            self._thread.join()

    def changed(self) -> None:
        """Say that what is wanted may have changed."""
        with self._state:
            self._asked += 1
            self._state.notify_all()

    def settle(self, seconds: float = 30.0) -> bool:
        """Wait until everything that was wanted when called runs; say whether it does."""
        with self._state:
            target = self._asked
            return self._state.wait_for(lambda: self._served >= target, seconds)

    def ended(self, key: str) -> None:
        """Replace the front if it is the one that ended by itself."""
        with self._state:
            # One that ends as soon as it starts must not keep a processor busy.
            self._state.wait_for(lambda: self._stopping, _PAUSE_SECONDS)
            if key == self._key:
                self._key, self._running = "", {}
                self._asked += 1
                self._state.notify_all()

    def hold(self, script: str, hold: bool) -> None:
        """Keep a script at the version that runs now (or at nothing), or let it go on."""
        with self._state:
            if not hold:
                self._held.pop(script, None)
            elif script not in self._held:
                self._held[script] = self._running.get(script)
            self._asked += 1
            self._state.notify_all()

    def held(self) -> list[str]:
        """List the scripts that are held."""
        with self._state:
            return sorted(self._held)

    def validate(self, version: Version) -> str | None:
        """Start a version alone, and say what keeps it from starting, if anything does."""
        alone = Running("script", version, enabled=False)
        bound = tuple(item for item in version.bindings if item["type"] != "service")
        context = self._context()
        probe = replace(alone, version=version.model_copy(update={"bindings": bound}))
        key = f"probe-{next(self._numbers)}"
        try:
            with _config_file(context, key, [probe]) as path:
                self._supervisor().serve(key, path, [READY, "script"], seconds=10)
        except RuntimeFailed as error:
            found = blame(str(error))
            return found.message if found else str(error)
        self._supervisor().stop_one(key)
        return None

    def _follow(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._stopping or self._asked > self._served)
                if self._stopping:
                    return
                target = self._asked
            try:
                self._advance()
            except RuntimeFailed:
                if not self._goes_on():
                    return
                log.exception("no new front; the running Workers stay as they are")
            self._done(target)

    def _goes_on(self) -> bool:
        with self._state:
            return not self._stopping

    def _done(self, target: int) -> None:
        with self._state:
            self._served = target
            self._state.notify_all()

    def _advance(self) -> None:
        workers = self._plan()
        running = {worker.name: worker for worker in workers}
        with self._state:
            same = self._key != "" and _codes(running) == _codes(self._running)
        if same:
            self._supervisor().route(self._key, _routes(running, self._ports))
            with self._state:
                self._running = running
            return
        key = f"front-{next(self._numbers)}"
        ports = self._start(key, workers)
        with self._state:
            stale = any(
                (_code(held) if held else None)
                != (_code(running[name]) if name in running else None)
                for name, held in self._held.items()
            )
        if stale:  # a hold began while this front started: it must not bring a later version
            self._supervisor().stop_one(key)
            self._advance()
            return
        self._supervisor().route(key, _routes(running, ports))
        with self._state:
            self.started += 1
            self._key, self._running, self._ports = key, running, ports

    def _plan(self) -> Workers:
        wanted = {worker.name: worker for worker in self._wanted()}
        with self._state:
            for name, held in self._held.items():
                if name not in wanted:
                    self._held[name] = None
                elif held is None:
                    del wanted[name]
                else:
                    wanted[name] = replace(wanted[name], version=held.version, second=held.second)
        return list(wanted.values())

    def _start(self, key: str, workers: Workers) -> dict[str, int]:
        """Start a front without what keeps it from starting: one script must not stop others."""
        context = self._context()
        left = list(workers)
        missing: set[tuple[str, str]] = set()
        for _ in range(_ATTEMPTS):
            attempt = replace(context, broken_entrypoints=frozenset(missing))
            try:
                with _config_file(attempt, key, left) as path:
                    return self._supervisor().serve(
                        key, path, [READY, *(worker.name for worker in left)]
                    )
            except RuntimeFailed as error:
                found = blame(str(error))
                if found is None:
                    raise
                log.warning("left out of the running Workers", extra={"culprit": found})
                if found.entrypoint is not None:
                    missing.add((found.script, found.entrypoint))
                else:
                    left = [worker for worker in left if worker.name != found.script]
        raise RuntimeFailed("too many scripts keep the front from starting")


def _codes(workers: dict[str, Running]) -> dict[str, object]:
    return {name: _code(worker) for name, worker in workers.items()}


def _code(worker: Running) -> object:
    """Return what differs when a Worker runs something else."""
    second = worker.second and (worker.second[0].id, worker.second[1])
    return (worker.version.id, second)


def _routes(workers: dict[str, Running], ports: dict[str, int]) -> dict[str, int]:
    return {
        name: ports[name] for name, worker in workers.items() if worker.enabled and name in ports
    }


@contextlib.contextmanager
def _config_file(context: FrontContext, key: str, workers: Workers) -> Iterator[Path]:
    """Write a configuration for as long as workerd reads it: it holds the Workers' secrets."""
    path = context.folder / f"{key}.capnp"
    path.touch(mode=0o600)
    path.write_text(front_config(workers, context))
    try:
        yield path
    finally:
        path.unlink()
