"""The function as Lambda runs it: wired from its environment, light to load."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.on_billing import app as billing_app
from functions.on_signup import app
from shared.settings import BadSettings, Settings
from shared.webhooks.auth import AUTH_PROVIDERS
from shared.webhooks.billing import BILLING_PROVIDERS
from tests.webhooks.environment import ENVIRONMENT

ROOT = Path(__file__).parents[2]
EVENT = Path(__file__).parent / "events" / "clerk_text.json"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    for name in [name.upper() for name in Settings.model_fields]:
        monkeypatch.delenv(name, raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    app._handler.cache_clear()
    with mock_aws():
        yield monkeypatch
    app._handler.cache_clear()


def event(**headers: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(EVENT.read_text())
    loaded["headers"].update(headers)
    return loaded


def test_without_a_secret_the_wired_door_says_503(
    environment: pytest.MonkeyPatch, capsys: Any
) -> None:
    """A fresh deployment whose secret nobody put yet refuses, and the log says why."""
    answer = app.handler(event(), None)  # type: ignore[arg-type]
    assert answer["statusCode"] == 503
    assert json.loads(answer["body"])["error"]["name"] == "NotConfigured"


def test_with_a_secret_the_wired_door_judges(environment: pytest.MonkeyPatch, keyring: Any) -> None:
    """The secret under the prefix is found; the golden event is genuine but years off: 401."""
    boto3.client("secretsmanager").create_secret(Name="stack/auth/clerk", SecretString=keyring[0])
    assert app.handler(event(), None)["statusCode"] == 401  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TABLE_NAME", "", "TABLE_NAME: is not set"),
        ("TENANT_IS", "team", "TENANT_IS: "),
        ("AUTH_PROVIDERS", "clerk,okta", "AUTH_PROVIDERS: okta: not of auth0, clerk, "),
    ],
)
def test_a_wrong_setting_fails_the_first_call_by_name(
    environment: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """Missing or wrong configuration is one line that names the setting."""
    environment.setenv(name, value)
    with pytest.raises(BadSettings) as caught:
        app.handler(event(), None)  # type: ignore[arg-type]
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_provider_is_in_the_manual() -> None:
    """A provider that has a door is told of in the users' manual, on either side."""
    auth, _, billing = (
        (ROOT / "docs" / "webhooks.md").read_text().partition("# Webhooks of the billing provider")
    )
    assert [name for name in AUTH_PROVIDERS if f"| `{name}` |" not in auth] == []
    assert [name for name in BILLING_PROVIDERS if f"| `{name}` |" not in billing] == []


def test_the_billing_door_is_wired_from_the_same_environment(
    environment: pytest.MonkeyPatch,
) -> None:
    """Without a secret it says 503; a provider of the settings that nobody knows fails by name."""
    billing_event = event() | {"rawPath": "/webhooks/billing/stripe"}
    billing_event["headers"]["stripe-signature"] = "t=1,v1=00"
    billing_app._handler.cache_clear()
    assert billing_app.handler(billing_event, None)["statusCode"] == 503  # type: ignore[arg-type]
    billing_app._handler.cache_clear()
    environment.setenv("BILLING_PROVIDERS", "stripe,chargebee")
    with pytest.raises(BadSettings, match="BILLING_PROVIDERS: chargebee: not of paddle"):
        billing_app.handler(billing_event, None)  # type: ignore[arg-type]
    billing_app._handler.cache_clear()
