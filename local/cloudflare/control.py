"""The control door, `/__emulator/*`: statistics, faults, latency, holds, limits.

Calls to it are neither counted nor limited, and need no token.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from flask import Blueprint, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from local.cloudflare.account import ALL_GROUPS, Account
from local.cloudflare.doors import doors
from local.cloudflare.faults import BadScript, Faults
from local.cloudflare.limiter import Limiter
from local.cloudflare.stats import Stats

__all__ = ["Holds", "control_blueprint"]


class Holds(Protocol):
    """What the control door does to the running Workers."""

    def hold(self, script: str, hold: bool) -> None:
        """Keep a script at what runs now, or let it go on."""

    def held(self) -> list[str]:
        """List the scripts that are held."""

    def settle(self, seconds: float) -> bool:
        """Wait until everything that was deployed runs."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Hold(_Strict):
    script: Annotated[str, Field(min_length=1)]
    hold: bool


class _Limits(_Strict):
    calls: Annotated[int, Field(ge=1)] | None = None
    window: Annotated[float, Field(gt=0)] | None = None
    databases: Annotated[int, Field(ge=0)] | None = None


class _Account(_Strict):
    subdomain: str | None


class _Token(_Strict):
    token: Annotated[str, Field(min_length=1)]
    groups: list[str] | None  # None takes the token away


class _Settle(_Strict):
    seconds: Annotated[float, Field(gt=0, le=300)] = 30.0


def control_blueprint(
    account: Account,
    stats: Stats,
    limiter: Limiter,
    faults: Faults,
    holds: Holds,
    routes_of_api: Sequence[str],
) -> Blueprint:
    """Build the control door. What it can't make sense of it answers with 400 and one line."""
    door = _Door(account, stats, limiter, faults, holds, routes_of_api)
    blueprint = doors(
        "control",
        {
            "GET /stats": door.show,
            "GET /routes": door.list_routes,
            "POST /reset": door.reset,
            "POST /faults": door.set_faults,
            "POST /latency": door.set_latency,
            "POST /hold": door.hold,
            "POST /settle": door.settle,
            "POST /limits": door.limits,
            "POST /account": door.change_account,
            "POST /tokens": door.change_token,
        },
        prefix="/__emulator",
    )
    blueprint.register_error_handler(BadScript, _bad_script)
    blueprint.register_error_handler(ValidationError, _bad_input)
    return blueprint


@dataclass(frozen=True)
class _Door:
    account: Account
    stats: Stats
    limiter: Limiter
    faults: Faults
    holds: Holds
    routes_of_api: Sequence[str]

    def show(self) -> Response:
        return _json(self.stats.show())

    def list_routes(self) -> Response:
        return _json(list(self.routes_of_api))

    def reset(self) -> Response:
        self.stats.reset()
        self.faults.reset()
        return _json({})

    def set_faults(self) -> Response:
        return _json({"faults": self.faults.set(_body())})

    def set_latency(self) -> Response:
        return _json({"routes": self.faults.set_latency(_body())})

    def hold(self) -> Response:
        wish = _Hold.model_validate(_body())
        self.holds.hold(wish.script, wish.hold)
        return _json({"held": self.holds.held()})

    def settle(self) -> Response:
        wish = _Settle.model_validate(_body())
        return _json({"settled": self.holds.settle(wish.seconds)})

    def limits(self) -> Response:
        wish = _Limits.model_validate(_body())
        if wish.calls is not None or wish.window is not None:
            self.limiter.set(wish.calls or self.limiter.calls, wish.window or self.limiter.window)
        if wish.databases is not None:
            self.account.databases = wish.databases
        return _json(
            {
                "calls": self.limiter.calls,
                "window": self.limiter.window,
                "databases": self.account.databases,
            }
        )

    def change_account(self) -> Response:
        self.account.subdomain = _Account.model_validate(_body()).subdomain
        return _json({"subdomain": self.account.subdomain})

    def change_token(self) -> Response:
        wish = _Token.model_validate(_body())
        known = ALL_GROUPS | {group.replace("Write", "Read") for group in ALL_GROUPS}
        unknown = sorted(set(wish.groups or ()) - known)
        if unknown:
            raise BadScript(f"groups: {unknown[0]} is none of {', '.join(sorted(known))}")
        if wish.groups is None:
            self.account.tokens.pop(wish.token, None)
        else:
            self.account.tokens[wish.token] = frozenset(wish.groups)
        return _json({"tokens": len(self.account.tokens)})


def _body() -> Any:
    try:
        return json.loads(request.get_data())
    except ValueError as error:
        raise BadScript("the body is not JSON") from error


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value), status=status, content_type="application/json")


def _bad_script(error: Exception) -> Response:
    return _json({"error": str(error)}, 400)


def _bad_input(error: Exception) -> Response:
    if not isinstance(error, ValidationError):
        raise error
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return _json({"error": f"{where}: {first['msg']}"}, 400)
