"""What `d1fleet doctor` looks at. Each check says what it saw and, if it is not well, what to do.

A check only reads. Its `status` is `ok`, `warning` (works, but a person should look) or `failed`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from ops.context import Deployment
from shared.aws.budget import DynamoBudget
from shared.cloudflare.client import LaneClient
from shared.cloudflare.errors import BadToken, WorkerNotFound
from shared.domain.budget import BudgetLimits, Lane
from shared.domain.names import directory_name, router_script
from shared.domain.worker import Role
from shared.errors import ControlPlaneError, Permanent
from shared.settings import BadSettings, Settings
from shared.usecases.breaker_report import breaker_report
from shared.usecases.review_billing import PATIENCE, list_parked
from shared.usecases.worker_code import WorkerCode

__all__ = ["CHECKS", "Check", "examine"]

CheckStatus: TypeAlias = Literal["ok", "warning", "failed"]

FUNCTIONS: Final = ("OnSignup", "OnBilling", "Provision", "Bind", "Backup", "Reconcile")
SKEW_NOTICED: Final = timedelta(seconds=10)
SKEW_FATAL: Final = timedelta(seconds=240)
"""Signatures are refused at 300 s; the rest is for the way."""
EXPIRES_SOON: Final = timedelta(days=14)

_QUICK: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})


@dataclass(frozen=True)
class Check:
    """Say what one check saw."""

    check: str
    status: CheckStatus
    detail: str
    advice: str | None = None


Look: TypeAlias = Callable[[Deployment], Iterator[Check]]


def examine(deployment: Deployment) -> Iterator[Check]:
    """Make every check; one that can't be made has failed."""
    for name, look in CHECKS.items():
        try:
            yield from look(deployment)
        except Permanent as error:
            yield Check(name, "failed", error.reason)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            yield Check(
                name,
                "failed",
                f"AWS refused {error.operation_name}: {code}",
                "see that the resource exists and that you may read it",
            )
        except (ControlPlaneError, BadSettings, BotoCoreError) as error:
            yield Check(name, "failed", str(error))


def _settings(deployment: Deployment) -> Iterator[Check]:
    api = boto3.client("lambda", config=_QUICK)
    names = set(Settings.model_fields)
    seen: list[dict[str, str]] = []
    for function in FUNCTIONS:
        found = api.get_function_configuration(
            FunctionName=deployment.output(f"{function}FunctionName")
        )
        given = found.get("Environment", {}).get("Variables", {})
        variables = {key: str(value) for key, value in given.items()}
        Settings.from_env(variables)
        seen.append({key: value for key, value in variables.items() if key.lower() in names})
    differing = sorted(
        name for name in {n for each in seen for n in each} if len({e.get(name) for e in seen}) > 1
    )
    if differing:
        text = f"the functions differ in {', '.join(differing)}"
        yield Check("settings", "failed", text, "deploy the stack again")
    else:
        yield Check("settings", "ok", f"{len(seen)} functions agree on their settings")


def _secrets(deployment: Deployment) -> Iterator[Check]:
    secrets, settings = deployment.parts.secrets, deployment.settings
    names = ["cloudflare-token", "router-admin"]
    names += [f"auth/{provider}" for provider in settings.auth_providers]
    names += [f"billing/{provider}" for provider in settings.billing_providers]
    for name in names:
        values = secrets.get(name)
        full = f"{settings.secrets_prefix}/{name}"
        if not values:
            yield Check("secrets", "failed", f"{full} has no value", f"put one into {full}")
        elif name == "router-admin" and not all(v.startswith("whsec_") for v in values):
            advice = "put in whsec_ and the base64 of 32 random bytes"
            yield Check("secrets", "failed", f"{full} is no signing secret", advice)
        else:
            yield Check("secrets", "ok", f"{full} has {len(values)} value(s)")


def _table(deployment: Deployment) -> Iterator[Check]:
    name = deployment.settings.table_name
    client = boto3.client("dynamodb", config=_QUICK)
    answer = client.describe_table(TableName=name)
    table = answer["Table"]
    keys = {key["AttributeName"]: key["KeyType"] for key in table["KeySchema"]}
    indexes = {
        i["IndexName"]: i.get("IndexStatus") for i in table.get("GlobalSecondaryIndexes", ())
    }
    if table["TableStatus"] not in {"ACTIVE", "UPDATING"} or keys != {"pk": "HASH", "sk": "RANGE"}:
        yield Check(
            "table", "failed", f"{name} is {table['TableStatus']}", "deploy the stack again"
        )
        return
    for index in ("ready", "by_status"):
        if indexes.get(index) != "ACTIVE":
            text = f"index {index} of {name} is {indexes.get(index, 'missing')}"
            yield Check("table", "failed", text, "wait until it is active, or deploy again")
    backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    recovery = backups.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        text = f"{name} has no point-in-time recovery"
        yield Check("table", "warning", text, "switch it on: it is the truth about all tenants")
    yield Check("table", "ok", f"{name} is active, its indexes too")


def _bucket(deployment: Deployment) -> Iterator[Check]:
    name = deployment.settings.bucket_name
    s3 = boto3.client("s3", config=_QUICK)
    s3.head_bucket(Bucket=name)
    again = "deploy the stack again: the template says how"
    if s3.get_bucket_versioning(Bucket=name).get("Status") != "Enabled":
        text = f"{name} keeps no versions: no backup can be proven"
        yield Check("bucket", "failed", text, again)
    if not _configured(lambda: s3.get_bucket_encryption(Bucket=name)):
        yield Check("bucket", "warning", f"{name} has no encryption of its own", again)
    if not _configured(lambda: s3.get_bucket_lifecycle_configuration(Bucket=name)):
        text = f"{name} has no lifecycle: backups are kept for ever"
        yield Check("bucket", "warning", text, again)
    yield Check("bucket", "ok", f"{name} answers")


def _configured(look: Callable[[], Any]) -> bool:
    """Say whether a bucket has what is asked for: S3 calls its absence an error."""
    try:
        look()
    except ClientError as error:
        if "NotFound" in error.response["Error"]["Code"] or "NoSuch" in str(error):
            return False
        raise
    return True


def _breaker(deployment: Deployment) -> Iterator[Check]:
    report = breaker_report(deployment.parts.control)
    if report.open:
        advice = "see whose they are, then `d1fleet breaker reset`"
        yield Check("breaker", "warning", f"deletes are stopped: {report.reason}", advice)
    else:
        text = f"{report.done} deletes in 24 hours and {report.due} due, of {report.most}"
        yield Check("breaker", "ok", text)


def _parked(deployment: Deployment) -> Iterator[Check]:
    control = deployment.parts.control
    found = list_parked(control)
    late = [one for one in found if control.now() - one.first_seen_at >= PATIENCE]
    if late:
        text = f"{len(late)} subscriptions wait for their tenant for more than a day"
        yield Check("parked", "warning", text, "see `d1fleet parked`")
    else:
        yield Check("parked", "ok", f"{len(found)} subscriptions wait for their tenant")


def _queues(deployment: Deployment) -> Iterator[Check]:
    settings = deployment.settings
    sqs = boto3.client("sqs", config=_QUICK)
    for name, url, dead in (
        ("work", settings.work_queue_url, False),
        ("work dead letters", settings.work_dlq_url, True),
        ("bind", settings.bind_queue_url, False),
        ("bind dead letters", settings.bind_dlq_url, True),
        ("backup", settings.backup_queue_url, False),
        ("backup dead letters", settings.backup_dlq_url, True),
    ):
        found = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )
        count = int(found["Attributes"]["ApproximateNumberOfMessages"])
        if dead and count:
            advice = "each is a bug or an outage: read the function's log, then redrive the queue"
            yield Check("queues", "warning", f"{name}: {count} messages", advice)
        else:
            yield Check("queues", "ok", f"{name}: {count} messages")


def _migrations(deployment: Deployment) -> Iterator[Check]:
    store = deployment.parts.outside.migrations
    head = store.head()
    if head is None:
        advice = "push some: `d1fleet migrations push DIR`"
        yield Check("migrations", "warning", "nothing was pushed, databases are empty", advice)
        return
    files = store.files(head)
    yield Check("migrations", "ok", f"{len(files)} files up to {head.schema_version}, all intact")


def _token(deployment: Deployment) -> Iterator[Check]:
    api = deployment.parts.outside.cloudflare().on(Lane.REPAIR)
    now = deployment.parts.control.now()
    status = api.account.verify_token()
    if status.status != "active":
        yield Check("token", "failed", f"the API token is {status.status}", "make a new one")
        return
    if status.expires_on is not None and status.expires_on - now < EXPIRES_SOON:
        text = f"the API token expires on {status.expires_on:%Y-%m-%d}"
        yield Check("token", "warning", text, "make a new one in time")
    yield from _permissions(api, deployment.settings.fleet)


def _permissions(api: LaneClient, fleet: str) -> Iterator[Check]:
    missing = []
    try:
        directory = api.d1.get(directory_name(fleet))
    except BadToken:
        missing.append("D1 Write")
    else:
        if directory is None:
            yield Check("token", "warning", "the directory is not there", "run `d1fleet init`")
    try:
        api.workers.settings(router_script(fleet))
    except BadToken:
        missing.append("Workers Scripts Write")
    except WorkerNotFound:
        yield Check("token", "warning", "the router is not there", "run `d1fleet init`")
    if missing:
        text = f"the API token lacks {' and '.join(missing)}"
        yield Check("token", "failed", text, "give it these permissions at Cloudflare")
    else:
        yield Check("token", "ok", "the API token is active and may use D1 and Workers")


def _pool_workers(deployment: Deployment) -> Iterator[Check]:
    control, router = deployment.parts.control, deployment.parts.outside.router()
    code = WorkerCode()
    for script in (None, *(room.script for room in control.pools.shards())):
        role = Role.ROUTER if script is None else Role.SHARD
        name = script or router_script(deployment.settings.fleet)
        served = router.status(script)
        worker = control.state.worker(name)
        if served is None or worker is None:
            text = f"{name} is not bound to the router yet"
            advice = "wait a minute; if it stays so, `d1fleet reconcile --sweep`"
            yield Check("pool workers", "warning", text, advice)
        elif served.code != code.hash_of(role):
            text = f"{name} runs code {served.code}, this version has {code.hash_of(role)}"
            advice = "deploy this version, or use the CLI of that one; the sweep uploads the code"
            yield Check("pool workers", "warning", text, advice)
        elif served.generation < worker.published_generation:
            text = f"{name} serves generation {served.generation} of {worker.published_generation}"
            yield Check("pool workers", "warning", text, "wait a minute and look again")
        else:
            text = f"{name} serves generation {served.generation}, {served.bindings} databases"
            yield Check("pool workers", "ok", text)


def _budget(deployment: Deployment) -> Iterator[Check]:
    settings, control = deployment.settings, deployment.parts.control
    limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
    report = DynamoBudget(control.state.table, limits, clock=control.now).state()
    if report.closed_until is not None:
        text = f"closed until {report.closed_until:%H:%M:%S}Z: {report.closed_by}"
        advice = "it opens by itself; see which other tools use this Cloudflare account"
        yield Check("budget", "warning", text, advice)
    else:
        yield Check("budget", "ok", f"open, {report.allowed} calls in {report.window_seconds} s")


def _pools(deployment: Deployment) -> Iterator[Check]:
    control = deployment.parts.control
    for class_ in deployment.settings.database_classes:
        blocked = control.pools.blocked(class_)
        if blocked is not None:
            advice = "mend it, then `d1fleet pool fill`"
            yield Check("pools", "warning", f"class {class_}: {blocked.reason}", advice)
        else:
            yield Check("pools", "ok", f"class {class_} can be filled")


def _clock(deployment: Deployment) -> Iterator[Check]:
    client = boto3.client("dynamodb", config=_QUICK)
    answer: Any = client.describe_table(TableName=deployment.settings.table_name)
    theirs = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    skew = abs(deployment.parts.control.now() - theirs)
    text = f"this machine and AWS are {skew.total_seconds():.0f} s apart"
    if skew > SKEW_NOTICED:
        status: CheckStatus = "failed" if skew > SKEW_FATAL else "warning"
        advice = "set this machine's clock: signatures are refused at 300 s"
        yield Check("clock", status, text, advice)
    else:
        yield Check("clock", "ok", text)


CHECKS: Final[dict[str, Look]] = {
    "settings": _settings,
    "secrets": _secrets,
    "table": _table,
    "bucket": _bucket,
    "queues": _queues,
    "clock": _clock,
    "migrations": _migrations,
    "budget": _budget,
    "token": _token,
    "pool workers": _pool_workers,
    "pools": _pools,
    "breaker": _breaker,
    "parked": _parked,
}
"""Every check by its name, in the order in which one rests on the other."""
