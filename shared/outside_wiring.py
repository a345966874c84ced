"""The part of the wiring that speaks HTTP, kept apart so that signups never import it."""

from functools import cache
from typing import Final

import boto3
import httpx
from botocore.config import Config

from shared.aws.budget import DynamoBudget
from shared.aws.migrations import MigrationStore
from shared.aws.secrets import SecretStore
from shared.billing_api.client import BillingApi
from shared.billing_api.keys import API_KEYS
from shared.cloudflare.client import CloudflareClient
from shared.domain.budget import BudgetLimits
from shared.domain.names import router_script
from shared.router.client import RouterClient
from shared.settings import Settings
from shared.usecases.context import Control
from shared.usecases.outside import Outside

__all__ = ["build_billing_api", "build_outside"]

_S3: Final = Config(
    connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}
)
_LIMITS: Final = httpx.Limits(max_connections=10, max_keepalive_connections=5)


def build_outside(settings: Settings, control: Control, secrets: SecretStore) -> Outside:
    """Put together what opens Cloudflare, the router and the migrations, each when first used."""

    @cache
    def cloudflare() -> CloudflareClient:
        limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
        budget = DynamoBudget(control.state.table, limits, clock=control.now)
        return CloudflareClient(
            httpx.Client(base_url=settings.cloudflare_api_url, limits=_LIMITS),
            account_id=settings.cloudflare_account_id,
            token=lambda: secrets.get_text("cloudflare-token"),
            budget=budget,
            clock=control.now,
        )

    @cache
    def router() -> RouterClient:
        fleet = control.fleet.get()
        return RouterClient(
            httpx.Client(limits=_LIMITS),
            url=fleet.router_url,
            script=router_script(settings.fleet),
            fleet_uid=fleet.uid,
            secret=lambda: secrets.get_text("router-admin"),
            clock=control.now,
        )

    return Outside(
        cloudflare=cloudflare,
        router=router,
        admin_secret=lambda: " ".join(secrets.get("router-admin")),
        migrations=MigrationStore(
            control.state.table, boto3.client("s3", config=_S3), settings.bucket_name
        ),
    )


def build_billing_api(settings: Settings, control: Control, secrets: SecretStore) -> BillingApi:
    """Put together what asks the billing providers for subscriptions."""
    return BillingApi(
        httpx.Client(limits=_LIMITS),
        urls={
            "stripe": settings.stripe_api_url,
            "paddle": settings.paddle_api_url,
            "polar": settings.polar_api_url,
        },
        key=lambda provider: secrets.get_text(API_KEYS[provider]),
        clock=control.now,
        ours=settings.paddle_custom_data == "server",
    )
