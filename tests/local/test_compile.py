"""What is wrong with a template, or can't be made of it here, is said by its name."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from samtranslator.yaml_helper import yaml_parse

from local.aws.cloud import Aws
from local.aws.deploy import Deployment, client, deploy
from local.aws.template import TemplateRefused, compile_template, setting_names
from local.stack import DEFAULTS, read_overrides

ROOT = Path(__file__).parents[2]
SOURCE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
SETTINGS = {**DEFAULTS, "POOL_TARGET": "2"}


@pytest.fixture
def template(tmp_path: Path) -> Callable[..., Path]:
    """Write the template, changed by a function, into a folder."""

    def write(change: Callable[[dict[str, Any]], object]) -> Path:
        changed = copy.deepcopy(SOURCE)
        change(changed)
        path = tmp_path / "template.yaml"
        path.write_text(yaml.safe_dump(changed), encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Resources", "WorkQueue"),
        ("Resources", "BindQueue"),
        ("Resources", "WorkDeadLetters"),
        ("Resources", "BindDeadLetters"),
        ("Resources", "Table"),
        ("Resources", "EventBus"),
        ("Resources", "CloudflareToken"),
        ("Parameters", "PoolTarget"),
    ],
)
def test_what_is_taken_away_is_named(template: Callable[..., Path], kind: str, name: str) -> None:
    """Without a resource or parameter that others refer to, the stack names it."""
    path = template(lambda source: source[kind].pop(name))
    with pytest.raises(TemplateRefused, match=rf"refers to {name}, which is not there"):
        compile_template(path, DEFAULTS if kind == "Resources" else {})


@pytest.mark.parametrize(
    "variable", ["WORK_QUEUE_URL", "POOL_TARGET", "TABLE_NAME", "GRACE_PERIOD"]
)
def test_a_variable_that_is_taken_away_is_named(
    template: Callable[..., Path], variable: str
) -> None:
    """Without a variable that is a setting, also one with a default, the stack names it."""
    path = template(
        lambda source: source["Globals"]["Function"]["Environment"]["Variables"].pop(variable)
    )
    with pytest.raises(TemplateRefused, match=rf"lacks the environment variable {variable}$"):
        compile_template(path, SETTINGS)


def test_a_queue_that_nobody_consumes_is_named(template: Callable[..., Path]) -> None:
    """Without its event source a queue would fill for ever."""
    path = template(lambda source: source["Resources"]["BindFunction"]["Properties"].pop("Events"))
    with pytest.raises(TemplateRefused, match="no function consumes the queue BindQueue"):
        compile_template(path, SETTINGS)


def test_a_setting_that_the_template_does_not_have_is_named() -> None:
    """A setting without a parameter would be ignored silently: it is refused."""
    with pytest.raises(TemplateRefused, match="no parameter for POOL_TARGETS"):
        compile_template(ROOT / "template.yaml", {**SETTINGS, "POOL_TARGETS": "3"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TENANT_IS", "dog"),
        ("FLEET", "Too-Long"),
        ("GRACE_PERIOD", "30 days"),
        ("POOL_TARGET", "many"),
        ("SHARD_CAPACITY", "5001"),
    ],
)
def test_a_setting_that_the_template_does_not_allow_is_named(name: str, value: str) -> None:
    """Allowed values, patterns and bounds hold here as on AWS."""
    with pytest.raises(TemplateRefused, match=rf"{name} is '{value}'"):
        compile_template(ROOT / "template.yaml", {**SETTINGS, name: value})


def test_a_missing_setting_is_named() -> None:
    """A parameter without a default must be given."""
    with pytest.raises(TemplateRefused, match="set CLOUDFLARE_ACCOUNT_ID"):
        compile_template(ROOT / "template.yaml", {"FLEET": "local"})


def test_a_file_that_is_no_template_is_refused(tmp_path: Path) -> None:
    """No file, and text that is not YAML, are told in a line."""
    with pytest.raises(TemplateRefused, match=r"gone\.yaml can't be read"):
        compile_template(tmp_path / "gone.yaml", SETTINGS)
    (tmp_path / "bad.yaml").write_text("a: [", encoding="utf-8")
    with pytest.raises(TemplateRefused, match=r"bad\.yaml is not YAML"):
        compile_template(tmp_path / "bad.yaml", SETTINGS)


def test_settings_are_taken_from_an_environment_by_their_names() -> None:
    """What is a parameter is taken; what is empty, another's, or the stack's own address is not."""
    environ = {
        "POOL_TARGET": "7",
        "GRACE_PERIOD": "",
        "HOME": "/home/x",
        "CLOUDFLARE_API_URL": "https://api.cloudflare.com/client/v4",
    }
    assert read_overrides(environ) == {"POOL_TARGET": "7"}
    assert {"POOL_TARGET", "SHARD_CAPACITY", "GRACE_PERIOD", "LOG_LEVEL", "FLEET"} <= setting_names(
        ROOT / "template.yaml"
    )


@pytest.fixture
def deployed(aws: Aws) -> Iterator[Callable[..., Deployment]]:
    """Deploy a template to moto; everything is forgotten afterwards."""

    def make(path: Path = ROOT / "template.yaml", **settings: str) -> Deployment:
        return deploy(
            compile_template(path, {**SETTINGS, **settings}),
            stack="local",
            endpoint_url=aws.endpoint_url,
            secret_value=lambda name: f"secret of {name}",
            extra_outputs={"WebhooksUrl": "http://127.0.0.1:1"},
        )

    yield make
    httpx.post(f"{aws.endpoint_url}/moto-api/reset").raise_for_status()


def test_the_stack_is_what_the_template_says(aws: Aws, deployed: Callable[..., Deployment]) -> None:
    """Functions with resolved variables, what feeds them, routes, secrets and switches."""
    made = deployed(ALERT_EMAIL="a@example.com")
    functions = {function.logical_id: function for function in made.functions}
    assert set(functions) == {
        "OnSignupFunction",
        "OnBillingFunction",
        "ProvisionFunction",
        "BindFunction",
        "BackupFunction",
        "ReconcileFunction",
    }
    variables = functions["ProvisionFunction"].environment
    assert variables["POOL_TARGET"] == "2"
    assert variables["API_LIMIT"] == "1200"
    assert variables["TABLE_NAME"] == made.outputs["TableName"]
    assert variables["WORK_QUEUE_URL"].startswith(aws.endpoint_url)
    feeds = {mapping.queue_url: mapping.function for mapping in made.mappings}
    assert feeds[variables["WORK_QUEUE_URL"]] == functions["ProvisionFunction"].name
    assert feeds[variables["BIND_QUEUE_URL"]] == functions["BindFunction"].name
    assert feeds[variables["BACKUP_QUEUE_URL"]] == functions["BackupFunction"].name
    assert [mapping.fifo for mapping in made.mappings] == [False, True, False]
    assert {each.function for each in made.schedules} == {functions["ReconcileFunction"].name}
    assert sorted((each.expression, each.payload) for each in made.schedules) == [
        ("cron(17 2 * * ? *)", '{"task":"nightly"}'),
        ("rate(5 minutes)", '{"task":"sweep"}'),
    ]
    assert {(route.function, route.method) for route in made.routes} == {
        (functions["OnSignupFunction"].name, "ANY"),
        (functions["OnBillingFunction"].name, "ANY"),
    }
    assert made.outputs["WebhooksUrl"] == "http://127.0.0.1:1"
    secret = client("secretsmanager", aws.endpoint_url)
    value = secret.get_secret_value(SecretId="local/auth/clerk")["SecretString"]
    assert value == "secret of auth/clerk"
    dynamodb = client("dynamodb", aws.endpoint_url)
    ttl = dynamodb.describe_time_to_live(TableName=made.outputs["TableName"])
    assert ttl["TimeToLiveDescription"]["AttributeName"] == "expires_at"
    s3 = client("s3", aws.endpoint_url)
    rules = s3.get_bucket_lifecycle_configuration(Bucket=made.outputs["BucketName"])["Rules"]
    days = {rule["Filter"]["Prefix"]: rule["Expiration"]["Days"] for rule in rules[:2]}
    assert days == {"dead-letters/": 45, "backups/": 90}
    sns = client("sns", aws.endpoint_url)
    topic = made.outputs["AlertTopicArn"]
    (mail,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert mail["Endpoint"] == "a@example.com"
    for opened in (secret, dynamodb, sns):
        opened.close()


def test_without_an_address_nobody_gets_mail(aws: Aws, deployed: Callable[..., Deployment]) -> None:
    """A resource whose condition does not hold is not made."""
    made = deployed()
    sns = client("sns", aws.endpoint_url)
    topic = made.outputs["AlertTopicArn"]
    assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
    sns.close()


def test_moto_takes_no_message_itself(aws: Aws, deployed: Callable[..., Deployment]) -> None:
    """A message sent to a queue with a consumer stays there until the stack's own poller comes."""
    made = deployed()
    sqs = client("sqs", aws.endpoint_url)
    url = made.mappings[0].queue_url
    sqs.send_message(QueueUrl=url, MessageBody="x")
    assert len(sqs.receive_message(QueueUrl=url)["Messages"]) == 1
    sqs.close()


def test_what_nobody_makes_is_named(
    template: Callable[..., Path], deployed: Callable[..., Deployment]
) -> None:
    """A kind of resource that neither moto nor the local stack knows is refused, not skipped."""
    path = template(
        lambda source: source["Resources"].update(
            Nightly={
                "Type": "AWS::Scheduler::Schedule",
                "Properties": {"ScheduleExpression": "rate(1 day)"},
            }
        )
    )
    with pytest.raises(TemplateRefused, match=r"Nightly \(AWS::Scheduler::Schedule\)"):
        deployed(path)


@pytest.mark.parametrize(("name", "value"), [("POOL_TARGET", "2.5"), ("DATABASE_CLASSES", "moon")])
def test_a_setting_that_the_functions_refuse_is_named(
    deployed: Callable[..., Deployment], name: str, value: str
) -> None:
    """What the template lets through, the functions' own settings judge before anything runs."""
    with pytest.raises(TemplateRefused, match=name):
        deployed(**{name: value})


def test_what_moto_fails_at_is_refused(
    template: Callable[..., Path], deployed: Callable[..., Deployment]
) -> None:
    """A FIFO queue without a name is fine on AWS, and an error here: a line says so."""
    path = template(lambda source: source["Resources"]["BindQueue"]["Properties"].pop("QueueName"))
    with pytest.raises(TemplateRefused, match=r"can't be deployed.*\.fifo"):
        deployed(path)
