"""The one place where real things are put together, from the settings. Called by the doors.

Nothing is opened before it is used: a signup needs neither httpx nor Cloudflare's token.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from shared.alerting.sns import connect_topic
from shared.aws.fleet import FleetStore
from shared.aws.outbox import connect_outbox
from shared.aws.pools import Pools
from shared.aws.queues import connect_queues
from shared.aws.secrets import SecretStore, secret_store
from shared.aws.state import State
from shared.aws.table import connect
from shared.billing_api.keys import API_KEYS
from shared.settings import Settings
from shared.usecases.context import Control

if TYPE_CHECKING:  # importing it would bring httpx into signups
    from shared.billing_api.client import BillingApi
    from shared.usecases.outside import Outside

__all__ = ["Parts", "build", "utc_now"]


def utc_now() -> datetime:
    """Return the present moment in UTC: the clock of everything that is not a test."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Parts:
    """Hold the parts of one process; `outside` is put together when first asked for."""

    settings: Settings
    control: Control
    secrets: SecretStore

    def fetches_billing(self, provider: str) -> bool:
        """Say whether an operator gave an API key of a billing provider."""
        return provider in API_KEYS and bool(self.secrets.get(API_KEYS[provider]))

    @cached_property
    def billing_api(self) -> "BillingApi":
        """Return what asks billing providers for subscriptions."""
        from shared.outside_wiring import build_billing_api  # noqa: PLC0415 - as below

        return build_billing_api(self.settings, self.control, self.secrets)

    @cached_property
    def outside(self) -> "Outside":
        """Return what opens Cloudflare, the router and the migrations."""
        from shared.outside_wiring import build_outside  # noqa: PLC0415 - keeps httpx out of signups

        return build_outside(self.settings, self.control, self.secrets)


def build(
    who: str, settings: Settings | None = None, *, now: Callable[[], datetime] = utc_now
) -> Parts:
    """Put the parts together; `who` names the function or operator in histories.

    Raises:
        BadSettings: one line that names what is missing or wrong.
    """
    settings = settings or Settings.from_env()
    table = connect(settings.table_name)
    control = Control(
        settings=settings,
        now=now,
        state=State(table),
        pools=Pools(table),
        fleet=FleetStore(table),
        queues=connect_queues(
            settings.work_queue_url, settings.bind_queue_url, settings.backup_queue_url
        ),
        outbox=connect_outbox(
            table, settings.event_bus_name, connect_topic(settings.alert_topic_arn)
        ),
        who=who,
    )
    return Parts(settings, control, secret_store(settings.secrets_prefix))
