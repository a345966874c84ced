"""The stage of the webhook tests: a door with stateful neighbours, and signers of each kind."""

import base64
import hashlib
import hmac
import io
import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from functions.on_billing import door as billing_door
from functions.on_signup.door import Dependencies, create_app
from shared.domain.auth_events import AuthEvent
from shared.domain.billing_events import BillingEvent
from shared.observability import Meter, make_logger
from shared.webhooks.auth import AUTH_PROVIDERS, TenantIs
from shared.webhooks.billing import BILLING_PROVIDERS, Reading
from shared.webhooks.door import Reception
from shared.webhooks.ports import Accepted

NOW = 1_790_000_000
SECRET = "whsec_" + base64.b64encode(b"the first key, of 32 bytes and so").decode()
OTHER = "whsec_" + base64.b64encode(b"the second key, it is 32 bytes..").decode()
THIRD = "whsec_" + base64.b64encode(b"the third key, it is of 32 bytes").decode()


@dataclass
class Inbox:
    """Accept events as the real use case does, in memory; `broken` is raised instead."""

    events: dict[tuple[str, str, str], AuthEvent | BillingEvent] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)
    dead: list[dict[str, Any]] = field(default_factory=list)
    broken: Exception | None = None

    def signup(self, event: AuthEvent, *, body_sha256: str, trace: str) -> Accepted:
        return self._take(event, body_sha256, "activating")

    def billing(self, event: BillingEvent, *, body_sha256: str, trace: str) -> Accepted:
        return self._take(event, body_sha256, "active")

    def _take(self, event: AuthEvent | BillingEvent, digest: str, status: str) -> Accepted:
        if self.broken:
            raise self.broken
        key = (event.provider, event.mode, event.event_id)
        seen = key in self.events
        self.events.setdefault(key, event)
        self.digests.append(digest)
        return Accepted("duplicate" if seen else "accepted", status)

    def dead_letter(self, **letter: Any) -> None:
        if self.broken:
            raise self.broken
        self.dead.append(letter)

    @property
    def empty(self) -> bool:
        return not self.events and not self.dead


@dataclass
class SecretBook:
    """Know secrets; `fresh` is what a new reading finds."""

    values: dict[str, tuple[str, ...]]
    fresh: dict[str, tuple[str, ...]] = field(default_factory=dict)
    broken: Exception | None = None

    def get(self, name: str) -> tuple[str, ...]:
        if self.broken:
            raise self.broken
        return self.values.get(name, ())

    def refreshed(self, name: str) -> tuple[str, ...] | None:
        if name not in self.fresh:
            return None
        self.values[name] = self.fresh.pop(name)
        return self.values[name]


@dataclass
class Stage:
    """Hold a door, who stands behind it, and what it logged."""

    client: FlaskClient
    inbox: Inbox
    secrets: SecretBook
    log: io.StringIO
    clock: list[float]
    app: Any

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


def set_up(
    providers: dict[str, Any],
    secrets: dict[str, tuple[str, ...]],
    open_door: Callable[[Reception[Any], Inbox], Flask],
) -> Stage:
    """Open a door at which these providers are known, with these secrets."""
    inbox, log, clock = Inbox(), io.StringIO(), [float(NOW)]
    book, service = SecretBook(secrets), f"test-{uuid.uuid4()}"
    on = Reception(
        providers=providers,
        secrets=book,
        now=lambda: clock[0],
        new_trace=lambda: uuid.uuid4().hex,
        logger=make_logger(service, log),
        meter=Meter(service),
    )
    app = open_door(on, inbox)
    return Stage(app.test_client(), inbox, book, log, clock, app)


@pytest.fixture
def make_stage() -> Callable[..., Stage]:
    def make(
        *,
        tenant_is: TenantIs = "organization",
        providers: tuple[str, ...] = tuple(AUTH_PROVIDERS),
        secrets: dict[str, tuple[str, ...]] | None = None,
    ) -> Stage:
        known = {f"auth/{name}": (SECRET,) for name in AUTH_PROVIDERS}
        return set_up(
            {name: AUTH_PROVIDERS[name] for name in providers},
            known if secrets is None else secrets,
            lambda on, inbox: create_app(Dependencies(on, tenant_is, inbox)),
        )

    return make


@pytest.fixture
def stage(make_stage: Callable[..., Stage]) -> Stage:
    return make_stage()


@pytest.fixture
def make_billing() -> Callable[..., Stage]:
    """Open the door of the billing providers, with one secret each."""

    def make(
        secrets: dict[str, tuple[str, ...]] | None = None,
        providers: tuple[str, ...] = tuple(BILLING_PROVIDERS),
    ) -> Stage:
        known = {f"billing/{name}": (SECRET,) for name in BILLING_PROVIDERS}
        return set_up(
            {name: BILLING_PROVIDERS[name] for name in providers},
            known if secrets is None else secrets,
            lambda on, inbox: billing_door.create_app(
                billing_door.Dependencies(on, Reading("test"), inbox)
            ),
        )

    return make


def sign_standard(
    body: bytes,
    *,
    secrets: tuple[str, ...] = (SECRET,),
    message_id: str = "msg_1",
    at: int = NOW,
    prefix: str = "webhook",
) -> dict[str, str]:
    signed = f"{message_id}.{at}.".encode() + body
    macs = [
        hmac.digest(base64.b64decode(s.removeprefix("whsec_")), signed, hashlib.sha256)
        for s in secrets
    ]
    return {
        "content-type": "application/json",
        f"{prefix}-id": message_id,
        f"{prefix}-timestamp": str(at),
        f"{prefix}-signature": " ".join("v1," + base64.b64encode(mac).decode() for mac in macs),
    }


@pytest.fixture
def sign() -> Callable[..., dict[str, str]]:
    return sign_standard


@pytest.fixture
def keyring() -> tuple[str, str, str]:
    return (SECRET, OTHER, THIRD)


@pytest.fixture
def now() -> int:
    return NOW


def clerk_event(kind: str = "organization.created", **data: object) -> bytes:
    body = {
        "object": "event",
        "type": kind,
        "timestamp": 1716883200,
        "instance_id": "ins_1",
        "data": {"object": "organization", "id": "org_1", "name": "Acme Corp", **data},
    }
    return json.dumps(body).encode()


@pytest.fixture
def clerk() -> Callable[..., bytes]:
    return clerk_event


def load_vectors() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((Path(__file__).parent / "vectors").glob("*.json")):
        for vector in json.loads(path.read_text())["vectors"]:
            yield path.stem, vector


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `provider, vector` to whoever asks for them."""
    if {"provider", "vector"} <= set(metafunc.fixturenames):
        cases = list(load_vectors())
        metafunc.parametrize(
            ("provider", "vector"), cases, ids=[f"{name}-{v['name']}" for name, v in cases]
        )
