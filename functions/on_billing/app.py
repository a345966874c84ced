"""The billing providers' webhooks in Lambda: the door, wired to the real neighbours."""

from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from functions.on_billing.door import Dependencies, create_app
from shared.aws.dead_letters import connect_dead_letters
from shared.usecases.accept_billing import AcceptBilling
from shared.webhooks.billing import Reading, billing_providers
from shared.webhooks.door import reception
from shared.webhooks.http import LambdaHandler, lambda_handler
from shared.wiring import build

__all__ = ["build_dependencies", "handler"]

SERVICE = "on_billing"


def build_dependencies() -> Dependencies:
    """Wire the door from the function's environment.

    Raises:
        BadSettings: one line that names what is missing or wrong.
    """
    parts = build(SERVICE)
    settings = parts.settings
    dead_letters = connect_dead_letters(settings.bucket_name)
    return Dependencies(
        reception(SERVICE, billing_providers(settings.billing_providers), parts.secrets),
        Reading(settings.billing_mode, ours=settings.paddle_custom_data == "server"),
        AcceptBilling(parts.control, dead_letters, parts.fetches_billing),
    )


@cache
def _handler() -> LambdaHandler:
    return lambda_handler(create_app(build_dependencies()))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    return _handler()(event, context)
