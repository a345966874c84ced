"""The settings of the functions: one model, read once, from the environment.

Every field is an environment variable of `template.yaml` with the same name in capitals; a test
holds the two together. Nothing here says where the stack runs: only URLs differ.
"""

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from shared.domain.budget import BudgetLimits
from shared.domain.classes import DATABASE_CLASSES
from shared.domain.drift.policy import Policy, parse_policy

__all__ = ["BadSettings", "Settings"]


class BadSettings(Exception):  # noqa: N818
    """Say in one line which settings are missing or wrong, and how to mend them."""


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


class Settings(BaseModel):
    """Hold what a deployment chose. Durations are ISO 8601 in the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    fleet: Annotated[str, Field(pattern=r"^[a-z0-9]{1,5}$")]
    table_name: Annotated[str, Field(min_length=3)]
    bucket_name: Annotated[str, Field(min_length=3)]
    event_bus_name: Annotated[str, Field(min_length=1)]
    alert_topic_arn: Annotated[str, Field(min_length=1)]
    work_queue_url: Annotated[str, Field(min_length=1)]
    work_dlq_url: Annotated[str, Field(min_length=1)]
    bind_queue_url: Annotated[str, Field(min_length=1)]
    bind_dlq_url: Annotated[str, Field(min_length=1)]
    backup_queue_url: Annotated[str, Field(min_length=1)]
    backup_dlq_url: Annotated[str, Field(min_length=1)]
    secrets_prefix: Annotated[str, Field(min_length=1)]
    cloudflare_account_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    cloudflare_api_url: str = "https://api.cloudflare.com/client/v4"
    router_url: str = ""
    workers_dev_url: str = "https://{script}.{subdomain}.workers.dev"
    api_limit: Annotated[int, Field(ge=5)] = 1200
    api_window: Annotated[int, Field(ge=1)] = 300
    api_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    auth_providers: tuple[str, ...] = ("clerk", "standard")
    billing_providers: tuple[str, ...] = ("stripe", "standard")
    billing_mode: Literal["live", "test"] = "live"
    require_subscription: bool = False
    past_due: Literal["serve", "suspend"] = "serve"
    past_due_grace: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(days=14)
    paddle_custom_data: Literal["payer", "server"] = "payer"
    stripe_api_url: str = "https://api.stripe.com"
    paddle_api_url: str = "https://api.paddle.com"
    polar_api_url: str = "https://api.polar.sh"
    tenant_is: Literal["organization", "user"] = "organization"
    database_classes: tuple[str, ...] = ("weur",)
    pool_target: Annotated[int, Field(ge=0, le=5000)] = 20
    shard_capacity: Annotated[int, Field(ge=1, le=4900)] = 4500
    grace_period: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(days=30)
    publish_settle: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(seconds=60)
    access_settle: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=6)
    backup_retention_days: Annotated[int, Field(ge=1, le=3650)] = 90
    proof_full_rows: Annotated[int, Field(ge=0)] = 200_000
    max_deletes_per_day: Annotated[int, Field(ge=0)] = 0
    alert_pagerduty_url: str = "https://events.pagerduty.com/v2/enqueue"
    alert_webhook_url: str = ""
    alert_allow_private: bool = False
    repair_policy: str = ""
    database_limit_mb: Annotated[int, Field(ge=1)] = 10_000

    @field_validator("auth_providers", "billing_providers", "database_classes", mode="before")
    @classmethod
    def _comma_separated(cls, value: object) -> object:
        return _split(value)

    @field_validator("database_classes")
    @classmethod
    def _known_classes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in DATABASE_CLASSES]
        if unknown or not value:
            known = ", ".join(sorted(DATABASE_CLASSES))
            raise ValueError(f"{', '.join(unknown) or 'none'}: not of {known}")
        return value

    @field_validator("api_share")
    @classmethod
    def _budget_has_calls(cls, value: float, info: ValidationInfo) -> float:
        if {"api_limit", "api_window"} <= info.data.keys():
            BudgetLimits.of(info.data["api_limit"], info.data["api_window"], value)
        return value

    @field_validator("repair_policy")
    @classmethod
    def _known_policy(cls, value: str) -> str:
        parse_policy(value)
        return value

    @property
    def policy(self) -> Policy:
        """Return what is done about each kind of drift."""
        return parse_policy(self.repair_policy)

    @property
    def default_class(self) -> str:
        """Return the class of databases that a signup gets when nothing else is said."""
        return self.database_classes[0]

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from the environment.

        An empty variable counts as not set: a template's parameter has no other way to say so.

        Raises:
            BadSettings: one line that names every missing or wrong variable.
        """
        env = os.environ if environ is None else environ
        given = {
            name: env[name.upper()] for name in cls.model_fields if env.get(name.upper(), "") != ""
        }
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            problems = "; ".join(
                f"{str(item['loc'][0]).upper()}: "
                + ("is not set" if item["type"] == "missing" else item["msg"])
                for item in error.errors(include_url=False, include_input=False)
            )
            raise BadSettings(f"set the function's environment variables: {problems}") from None
