"""The auth providers' webhooks in Lambda: the door, wired to the real neighbours."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.on_signup.door import Dependencies, create_app
from shared.aws.dead_letters import connect_dead_letters
from shared.usecases.accept_signup import AcceptSignup
from shared.webhooks.auth import auth_providers
from shared.webhooks.door import reception
from shared.webhooks.http import LambdaHandler, lambda_handler
from shared.wiring import build

__all__ = ["build_dependencies", "handler"]

SERVICE = "on_signup"


def build_dependencies() -> Dependencies:
    """Wire the door from the function's environment.

    Raises:
        BadSettings: one line that names what is missing or wrong.
    """
    parts = build(SERVICE)
    settings = parts.settings
    return Dependencies(
        reception(SERVICE, auth_providers(settings.auth_providers), parts.secrets),
        settings.tenant_is,
        AcceptSignup(parts.control, connect_dead_letters(settings.bucket_name)),
    )


@cache
def _handler() -> LambdaHandler:
    return lambda_handler(create_app(build_dependencies()))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    return _handler()(event, context)
