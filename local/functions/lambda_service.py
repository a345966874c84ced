"""Lambda on this machine: functions by name, their environments made when they are needed.

Used by the gateway, the queues' pollers, the schedules and `Invoke`. A call waits for an
environment as long as it says; environments are kept for the next call, the last one used first.
"""

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from local.functions.environment import Environment, Launch, Result, failure
from local.processes import Lifeline

__all__ = ["Counts", "LambdaService", "UnknownFunction"]


class UnknownFunction(LookupError):  # noqa: N818
    """Say that no function has this name."""


@dataclass
class Counts:
    """Count what a function did since the start."""

    invocations: int = 0
    errors: int = 0
    environments: int = 0


class _Pool:
    """Hold the environments of one function, at most `most` of them."""

    def __init__(self, launch: Launch, most: int, lifeline: Lifeline) -> None:
        self.launch = launch
        self.counts = Counts()
        self._lifeline = lifeline
        self._free = threading.BoundedSemaphore(most)
        self._lock = threading.Lock()
        self._idle: list[Environment] = []
        self._all: set[Environment] = set()
        self._closed = False

    def invoke(self, payload: bytes, patience: float) -> Result:
        if not self._free.acquire(timeout=patience):
            return failure("TooManyRequestsException", "Rate Exceeded.")
        try:
            environment = self._take()
            if environment is None:
                return failure("ServiceException", "The local stack is stopping.")
            result = environment.invoke(payload)
            self._put(environment)
            with self._lock:
                self.counts.invocations += 1
                self.counts.errors += result.error is not None
            return result
        finally:
            self._free.release()

    def warm(self) -> Result | None:
        with self._free:
            environment = self._take()
            if environment is None:
                return None
            refused = environment.ready()
            self._put(environment)
            return refused

    def pids(self) -> list[int]:
        with self._lock:
            return [environment.pid for environment in self._all if environment.alive]

    def close(self) -> list[Environment]:
        """Kill every process and start no other; return those whose end is to be awaited."""
        with self._lock:
            self._closed = True
            running = list(self._all)
        for environment in running:
            environment.kill()
        return running

    def _take(self) -> Environment | None:
        with self._lock:
            while self._idle:
                environment = self._idle.pop()
                if environment.alive:
                    return environment
                self._all.discard(environment)
            if self._closed:
                return None
            environment = Environment(self.launch, self._lifeline)
            self._all.add(environment)
            self.counts.environments += 1
            return environment

    def _put(self, environment: Environment) -> None:
        with self._lock:
            if environment.alive:
                self._idle.append(environment)
            else:
                self._all.discard(environment)


class LambdaService:
    """Run functions by name.

    `functions` are (how to start it, how many environments at most).
    """

    def __init__(self, functions: Mapping[str, tuple[Launch, int]], lifeline: Lifeline) -> None:
        self._pools = {
            name: _Pool(launch, most, lifeline) for name, (launch, most) in functions.items()
        }
        self._background = ThreadPoolExecutor(max_workers=4, thread_name_prefix="event-invoke")

    def invoke(self, function: str, payload: bytes, *, patience: float = 900) -> Result:
        """Run a function and return what it came to; waits up to `patience` seconds for its turn.

        Raises:
            UnknownFunction: there is none of this name.
        """
        return self._pool(function).invoke(payload, patience)

    def invoke_later(self, function: str, payload: bytes) -> None:
        """Run a function without waiting for it; what it comes to is in its log.

        Raises:
            UnknownFunction: there is none of this name.
        """
        pool = self._pool(function)
        self._background.submit(pool.invoke, payload, 900)

    def warm(self) -> dict[str, Result]:
        """Start one environment of each function; return those that could not be initialised."""
        starters = ThreadPoolExecutor(max_workers=len(self._pools), thread_name_prefix="warm")
        try:
            ready = dict(
                zip(
                    self._pools,
                    starters.map(lambda pool: pool.warm(), self._pools.values()),
                    strict=True,
                )
            )
        finally:
            # Not waiting for them: an interrupt must get through to stop(), which ends them.
            starters.shutdown(wait=False)
        return {name: refused for name, refused in ready.items() if refused is not None}

    def counts(self) -> dict[str, Counts]:
        """Return what each function did so far."""
        return {name: pool.counts for name, pool in self._pools.items()}

    def pids(self, function: str) -> list[int]:
        """Return the process ids of a function's environments."""
        return self._pool(function).pids()

    def stop(self) -> None:
        """End every process; invocations that are under way end with an error."""
        killed = [environment for pool in self._pools.values() for environment in pool.close()]
        for environment in killed:
            environment.stop()
        self._background.shutdown(wait=False, cancel_futures=True)

    def _pool(self, function: str) -> _Pool:
        try:
            return self._pools[function]
        except KeyError:
            raise UnknownFunction(function) from None
