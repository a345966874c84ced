"""API Gateway's events (payload format 2.0, as AWS documents it) through the Lambda handler."""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.webhooks.http import lambda_handler

EVENTS = Path(__file__).parent / "events"


def load(name: str) -> dict[str, Any]:
    event: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


@pytest.mark.parametrize("name", ["clerk_text", "clerk_base64"])
def test_a_signup_as_text_and_as_base64(stage: Any, name: str) -> None:
    """The gateway's two encodings of a body give the same bytes, so that the signature holds."""
    answer = lambda_handler(stage.app)(load(name), None)
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
    headers = {key.lower(): value for key, value in answer["headers"].items()}
    assert headers["content-type"] == "application/json"
    assert json.loads(answer["body"]) == {"status": "accepted", "tenant_status": "activating"}
    (event,) = stage.inbox.events.values()
    assert event.tenant_id == "org_2g7np7Hrk0SN6kj5EDMLDaKNL0S"
    assert event.display_name == "Überkraft GmbH"


def test_a_changed_body_is_refused(stage: Any) -> None:
    """One byte more than what was signed is 401, and nothing is stored."""
    event = load("clerk_text")
    event["body"] += " "
    assert lambda_handler(stage.app)(event, None)["statusCode"] == 401
    assert stage.inbox.empty


@pytest.mark.parametrize(("name", "status"), [("get", 405), ("unknown_provider", 404)])
def test_refusals(stage: Any, name: str, status: int) -> None:
    """Refusals reach the gateway as JSON with their own status."""
    answer = lambda_handler(stage.app)(load(name), None)
    assert answer["statusCode"] == status
    assert set(json.loads(answer["body"])) == {"error"}


def test_a_large_body_in_base64(stage: Any) -> None:
    """The limit counts the bytes that were sent, not their base64."""
    event = load("clerk_base64")
    event["body"] = "ICAg" * (1024 * 1024 // 3) + "ICA="
    del event["headers"]["svix-id"]
    assert lambda_handler(stage.app)(event, None)["statusCode"] == 413
    event["body"] = "ICAg" * (1024 * 1024 // 3) + "IA=="
    assert lambda_handler(stage.app)(event, None)["statusCode"] == 400
