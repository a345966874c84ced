"""The billing providers' webhooks in Lambda: the door, wired to the real neighbours."""

import time
from functools import cache
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from ulid import ULID

from functions.on_billing.door import Dependencies, create_app
from shared.aws.dead_letters import connect_dead_letters
from shared.observability import Meter, make_logger
from shared.settings import BadSettings
from shared.usecases.accept_billing import AcceptBilling
from shared.webhooks.billing import Reading, billing_providers
from shared.webhooks.http import LambdaHandler, lambda_handler
from shared.webhooks.parsing import UnknownProvider
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
    try:
        providers = billing_providers(settings.billing_providers)
    except UnknownProvider as error:
        raise BadSettings(str(error)) from None
    return Dependencies(
        providers=providers,
        reading=Reading(settings.billing_mode, ours=settings.paddle_custom_data == "server"),
        secrets=parts.secrets,
        accept=AcceptBilling(
            parts.control, connect_dead_letters(settings.bucket_name), parts.fetches_billing
        ),
        now=time.time,
        new_trace=lambda: str(ULID()),
        logger=make_logger(SERVICE),
        meter=Meter(SERVICE),
    )


@cache
def _handler() -> LambdaHandler:
    return lambda_handler(create_app(build_dependencies()))


def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Answer one webhook."""
    return _handler()(event, context)
