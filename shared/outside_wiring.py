"""The part of the wiring that speaks HTTP, kept apart so that signups never import it."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Final

import boto3
import httpx
from botocore.config import Config

from shared.alerting.pagerduty import PagerDuty
from shared.alerting.posting import Poster, open_client
from shared.alerting.slack import Slack
from shared.alerting.webhook import Webhook
from shared.aws.budget import DynamoBudget
from shared.aws.depths import connect_depths
from shared.aws.migrations import MigrationStore
from shared.aws.runs import connect_runs
from shared.aws.secrets import SecretStore
from shared.billing_api.client import BillingApi
from shared.billing_api.keys import API_KEYS
from shared.cloudflare.client import CloudflareClient
from shared.domain.alert import Channel
from shared.domain.budget import BudgetLimits
from shared.domain.names import router_script
from shared.errors import ControlPlaneError
from shared.router.client import RouterClient
from shared.settings import Settings
from shared.usecases.after_sweep import AfterSweep
from shared.usecases.context import Control
from shared.usecases.findings import KeepFindings
from shared.usecases.outside import Outside
from shared.usecases.reconcile import Reconcile
from shared.usecases.settle_repairs import SettleRepairs

__all__ = ["build_billing_api", "build_outside", "build_reconciling"]

_S3: Final = Config(
    connect_timeout=2, read_timeout=10, retries={"mode": "standard", "max_attempts": 3}
)
SLACK_URL: Final = "alerts/slack-url"
PAGERDUTY_KEY: Final = "alerts/pagerduty-key"
WEBHOOK_SECRET: Final = "alerts/webhook-secret"  # noqa: S105 - a name

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

    @cache
    def poster() -> Poster:
        return Poster(open_client(), clock=control.now, allow_private=settings.alert_allow_private)

    def channels() -> tuple[Channel, ...]:
        # Asked each time: a secret that is put into its place works without a deployment.
        chosen = _chosen_channels(settings, control, secrets, poster)
        return (control.outbox.topic, *chosen)

    return Outside(
        cloudflare=cloudflare,
        router=router,
        admin_secret=lambda: " ".join(secrets.get("router-admin")),
        migrations=MigrationStore(
            control.state.table, boto3.client("s3", config=_S3), settings.bucket_name
        ),
        channels=channels,
    )


def _chosen_channels(
    settings: Settings,
    control: Control,
    secrets: SecretStore,
    poster: Callable[[], Poster],
) -> Iterator[Channel]:
    """Yield the channels that an operator chose."""
    if _may_be_there(secrets, SLACK_URL):
        yield Slack(poster(), lambda: secrets.get_text(SLACK_URL))
    if _may_be_there(secrets, PAGERDUTY_KEY):
        yield PagerDuty(
            poster(),
            settings.alert_pagerduty_url,
            lambda: secrets.get_text(PAGERDUTY_KEY),
            settings.fleet,
        )
    if settings.alert_webhook_url:
        url = settings.alert_webhook_url
        yield Webhook(poster(), url, lambda: secrets.get_text(WEBHOOK_SECRET), control.now)


def build_reconciling(settings: Settings, control: Control, outside: Outside) -> AfterSweep:
    """Put together what reconciles, with what the sweep does of it."""
    depths = connect_depths(
        {
            "work": settings.work_queue_url,
            "bind": settings.bind_queue_url,
            "backup": settings.backup_queue_url,
            "work_dlq": settings.work_dlq_url,
            "bind_dlq": settings.bind_dlq_url,
            "backup_dlq": settings.backup_dlq_url,
        }
    )
    findings = KeepFindings(control)
    runs = connect_runs(control.state.table, settings.bucket_name)
    return AfterSweep(
        Reconcile(control, outside, findings, runs, depths),
        SettleRepairs(control, outside, findings, runs, depths),
    )


def _may_be_there(secrets: SecretStore, name: str) -> bool:
    """Say whether a secret has a value, or nobody can tell.

    Then the channel says so itself, as what keeps alerts from it: the others go on meanwhile.
    """
    try:
        return bool(secrets.get(name))
    except ControlPlaneError:
        return True


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
