"""The fault script: what goes wrong, on which route, at which call."""

import re
import threading
from collections.abc import Collection
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

__all__ = ["BadScript", "Fault", "Faults"]

T = TypeVar("T")

_PLACEHOLDER = re.compile(r"\{[^{}/]*\}")


class BadScript(ValueError):  # noqa: N818 - it describes the script
    """Say in one line what is wrong with a fault script."""


class Fault(BaseModel):
    """One fault. `nth` counts the calls of its route from 1 after the fault was set.

    `status`: answer so, doing nothing (`seconds`, if given, becomes `Retry-After`); `delay`: wait
    `seconds`, then do the work, even if the caller has gone; `lose_answer`: do the work, then drop
    the connection; `hang`: do nothing and answer nothing, for `seconds` or till the emulator stops.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    route: str
    nth: Annotated[int, Field(ge=1)] | Literal["every"] = 1
    do: Literal["status", "delay", "lose_answer", "hang"]
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    seconds: Annotated[float, Field(ge=0, le=3600)] | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Fault":
        if self.do == "status" and self.status is None:
            raise ValueError("a status fault needs a status")
        if self.do == "delay" and self.seconds is None:
            raise ValueError("a delay needs seconds")
        return self


_SCRIPT = TypeAdapter(list[Fault])
_LATENCY = TypeAdapter(dict[str, Annotated[float, Field(ge=0, le=600_000)]])


class Faults:
    """Hold the fault script and the latencies. Safe to share between threads."""

    def __init__(self, routes: Collection[str]) -> None:
        self._lock = threading.Lock()
        self._known = {_shape(route): route for route in routes}
        self._faults: list[tuple[Fault, int]] = []
        self._latency: dict[str, float] = {}

    def reset(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._faults = []
            self._latency = {}

    def set(self, script: Any) -> int:
        """Replace the fault script; return how many faults it has.

        Raises:
            BadScript: it is malformed, or names a route that does not exist.
        """
        faults = [
            fault.model_copy(update={"route": self._route(fault.route)})
            for fault in _parse(_SCRIPT, script)
        ]
        with self._lock:
            self._faults = [(fault, 0) for fault in faults]
        return len(faults)

    def set_latency(self, latency: Any) -> int:
        """Replace the latencies, milliseconds by route; `*` is for all other routes.

        Raises:
            BadScript: it is malformed, or names a route that does not exist.
        """
        parsed = {self._route(route): ms for route, ms in _parse(_LATENCY, latency).items()}
        with self._lock:
            self._latency = parsed
        return len(parsed)

    def latency(self, route: str) -> float:
        """Return how many seconds a route takes longer."""
        with self._lock:
            return self._latency.get(route, self._latency.get("*", 0.0)) / 1000

    def hit(self, route: str) -> Fault | None:
        """Count a call of a route, and return the first fault that strikes it."""
        struck: Fault | None = None
        with self._lock:
            for index, (fault, seen) in enumerate(self._faults):
                if fault.route not in {route, "*"}:
                    continue
                self._faults[index] = (fault, seen + 1)
                if struck is None and fault.nth in {"every", seen + 1}:
                    struck = fault
        return struck

    def _route(self, route: str) -> str:
        if route == "*":
            return route
        known = self._known.get(_shape(route))
        if known is None:
            raise BadScript(f"no such route: {route}; GET /__emulator/routes lists them")
        return known


def _shape(route: str) -> str:
    return _PLACEHOLDER.sub("{}", route)


def _parse(adapter: TypeAdapter[T], value: Any) -> T:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise BadScript(f"{where}: {first['msg']}") from error
