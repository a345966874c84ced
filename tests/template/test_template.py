"""The template as code: what AWS would only find out after the deployment."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from samtranslator.yaml_helper import yaml_parse

from local.aws.template import setting_name
from shared.settings import Settings
from shared.usecases.reconcile import BUSY

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
FUNCTIONS = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
QUEUES = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::SQS::Queue"
}
SOURCES = [
    (name, event["Properties"])
    for name, properties in FUNCTIONS.items()
    for event in properties["Events"].values()
    if event["Type"] == "SQS"
]
ENVIRONMENT: dict[str, Any] = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
POWERTOOLS = {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_METRICS_NAMESPACE", "LOG_LEVEL"}


def statements(function: str) -> Iterator[dict[str, Any]]:
    """Yield the statements of a function's role."""
    role = FUNCTIONS[function]["Role"]["Fn::GetAtt"][0]
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        yield from policy["PolicyDocument"]["Statement"]


def listed(value: Any) -> list[Any]:
    """Return a list, also of what stands alone."""
    return value if isinstance(value, list) else [value]


def queue_of(source: dict[str, Any]) -> str:
    """Return the logical id of a source's queue."""
    return str(source["Queue"]["Fn::GetAtt"][0])


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_handler_is_where_the_template_says(function: str) -> None:
    """Each handler is `functions.<name>.app.handler`, its file is there and defines it."""
    handler = FUNCTIONS[function]["Handler"]
    assert re.fullmatch(r"functions\.[a-z_]+\.app\.handler", handler)
    file = ROOT.joinpath(*handler.split(".")[:-1]).with_suffix(".py")
    assert re.search(
        r"^(def handler\(|handler\b.*=)", file.read_text(encoding="utf-8"), re.MULTILINE
    )


def test_every_function_of_the_source_tree_is_deployed() -> None:
    """Each folder of functions/ has its resource."""
    folders = {path.parent.name for path in (ROOT / "functions").glob("*/__init__.py")}
    assert {properties["Handler"].split(".")[1] for properties in FUNCTIONS.values()} == folders


def test_the_environment_is_the_settings() -> None:
    """Each field of the settings is a variable of every function, and each variable is a field."""
    fields = {field.upper() for field in Settings.model_fields}
    assert set(ENVIRONMENT) - POWERTOOLS == fields
    for properties in FUNCTIONS.values():
        assert set(properties["Environment"]["Variables"]) == {"POWERTOOLS_SERVICE_NAME"}
    assert set(ENVIRONMENT) >= {"POWERTOOLS_METRICS_NAMESPACE", "LOG_LEVEL"}


def test_a_setting_is_chosen_by_the_parameter_of_its_name() -> None:
    """A variable that a user chooses is the parameter whose name in capitals it has."""
    chosen = {
        name: value["Ref"]
        for name, value in ENVIRONMENT.items()
        if isinstance(value, dict) and value.get("Ref") in TEMPLATE["Parameters"]
    }
    assert {name: setting_name(parameter) for name, parameter in chosen.items()} == {
        name: name for name in chosen
    }
    besides = {"LogRetentionDays", "AlertEmail"}
    besides |= {name for name, parameter in TEMPLATE["Parameters"].items() if "NoEcho" in parameter}
    assert set(chosen.values()) | besides == set(TEMPLATE["Parameters"])


def test_defaults_are_those_of_the_settings() -> None:
    """What the template does not ask for is what the settings would have taken."""
    required = {
        "fleet": "x",
        "table_name": "table",
        "bucket_name": "bucket",
        "event_bus_name": "bus",
        "alert_topic_arn": "arn",
        "work_queue_url": "url",
        "work_dlq_url": "url",
        "bind_queue_url": "url",
        "bind_dlq_url": "url",
        "backup_queue_url": "url",
        "backup_dlq_url": "url",
        "secrets_prefix": "prefix",
        "cloudflare_account_id": "account",
    }
    environ = {name.upper(): value for name, value in required.items()}
    defaults = {
        setting_name(name): str(parameter["Default"])
        for name, parameter in TEMPLATE["Parameters"].items()
        if "Default" in parameter
    }
    assert Settings.from_env({**environ, **defaults}) == Settings.from_env(environ)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_policies_name_their_actions_and_resources(function: str) -> None:
    """No statement allows an action by a star, or a resource by a star alone, but X-Ray's own."""
    for statement in statements(function):
        assert statement["Effect"] == "Allow"
        actions = listed(statement["Action"])
        assert not [action for action in actions if "*" in action]
        if actions == ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]:
            continue  # IAM knows no resource for them
        for resource in listed(statement["Resource"]):
            if isinstance(resource, dict) and "Fn::Sub" in resource:
                assert re.fullmatch(r"\$\{[A-Za-z]+\.Arn\}/[a-z_/-]+\*?", resource["Fn::Sub"])
            else:
                assert set(resource) <= {"Ref", "Fn::GetAtt"}


def test_only_the_consumer_of_a_queue_may_receive_from_it() -> None:
    """ReceiveMessage and DeleteMessage on a queue belong to the function that it feeds, alone."""
    allowed = {
        (function, resource["Fn::GetAtt"][0])
        for function in FUNCTIONS
        for statement in statements(function)
        if "sqs:ReceiveMessage" in listed(statement["Action"])
        for resource in listed(statement["Resource"])
    }
    assert allowed == {(function, queue_of(source)) for function, source in SOURCES}


def test_the_webhooks_door_reaches_neither_cloudflare_nor_the_bind_queue() -> None:
    """on_signup, which strangers reach, may not read the API token, nor scan, nor publish."""
    text = str(list(statements("OnSignupFunction")))
    for forbidden in ("CloudflareToken", "RouterAdmin", "BindQueue", "dynamodb:Scan", "sns:"):
        assert forbidden not in text


def test_no_function_scans_the_table() -> None:
    """A scan of 50,000 tenants is never what a function should do."""
    for function in FUNCTIONS:
        assert "dynamodb:Scan" not in str(list(statements(function)))


@pytest.mark.parametrize(("function", "source"), SOURCES)
def test_an_event_source_is_safe(function: str, source: dict[str, Any]) -> None:
    """Partial failures are reported, concurrency is capped, and visibility is six timeouts long."""
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"]["MaximumConcurrency"] >= 2
    assert 1 <= source["BatchSize"] <= 5
    visibility = QUEUES[queue_of(source)]["VisibilityTimeout"]
    assert visibility >= 6 * FUNCTIONS[function]["Timeout"]
    assert "ReservedConcurrentExecutions" not in FUNCTIONS[function]


def test_a_queue_that_is_consumed_has_dead_letters_of_its_own() -> None:
    """Five receives, then a queue of the same kind that keeps it for two weeks, alarmed."""
    dead = set()
    for _, source in SOURCES:
        queue = QUEUES[queue_of(source)]
        redrive = queue["RedrivePolicy"]
        assert redrive["maxReceiveCount"] == 5
        target = redrive["deadLetterTargetArn"]["Fn::GetAtt"][0]
        assert QUEUES[target].get("FifoQueue") == queue.get("FifoQueue")
        assert QUEUES[target]["MessageRetentionPeriod"] == 14 * 24 * 3600
        dead.add(target)
    assert len(dead) == len(SOURCES)
    assert {queue_of(source) for _, source in SOURCES} | dead == set(QUEUES)


def test_fifo_queues_have_names() -> None:
    """CloudFormation on moto makes no FIFO queue without a name that ends in .fifo."""
    for queue in QUEUES.values():
        if queue.get("FifoQueue"):
            assert queue["QueueName"]["Fn::Sub"].endswith(".fifo")


def test_what_fails_is_alarmed() -> None:
    """Dead letters, waiting messages and errors of each function tell the alert topic."""
    alarms = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    ours = [alarm for alarm in alarms if alarm["Namespace"] == "d1fleet"]
    metrics = {"Reconciled", "HoursWithoutPass", "AlertChannelsFailing"}
    assert {alarm["MetricName"] for alarm in ours} == metrics
    watched = {
        (
            alarm["MetricName"],
            str(dimension["Value"].get("Ref") or dimension["Value"]["Fn::GetAtt"][0]),
        )
        for alarm in alarms
        if alarm not in ours
        for dimension in alarm["Dimensions"]
    }
    work = {queue_of(source) for _, source in SOURCES}
    assert watched == (
        {("ApproximateNumberOfMessagesVisible", queue) for queue in set(QUEUES) - work}
        | {("ApproximateAgeOfOldestMessage", queue) for queue in work}
        | {("Errors", function) for function in FUNCTIONS}
    )
    assert all(alarm["AlarmActions"] == [{"Ref": "AlertTopic"}] for alarm in alarms)


def test_a_pass_is_nobody_elses_while_it_may_run() -> None:
    """The sweep goes on with a pass only when the function that did it can't run any more."""
    assert FUNCTIONS["ReconcileFunction"]["Timeout"] < BUSY.total_seconds()


def test_state_outlives_the_stack() -> None:
    """Table and bucket are kept when the stack goes, encrypted, and the table can be wound back."""
    for name in ("Table", "Bucket"):
        assert RESOURCES[name]["DeletionPolicy"] == "Retain"
        assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
    table = RESOURCES["Table"]["Properties"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert table["SSESpecification"]["SSEEnabled"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    bucket = RESOURCES["Bucket"]["Properties"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
    assert "BucketEncryption" in bucket


def test_logs_are_kept_for_a_while_only() -> None:
    """Each function logs to a group of its own, which has a retention."""
    groups = [properties["LoggingConfig"]["LogGroup"]["Ref"] for properties in FUNCTIONS.values()]
    assert len(set(groups)) == len(FUNCTIONS)
    for resource in RESOURCES.values():
        if resource["Type"] == "AWS::Logs::LogGroup":
            assert "RetentionInDays" in resource["Properties"]


def test_outputs_name_what_the_command_line_needs() -> None:
    """Every resource that a command reaches is an output."""
    assert set(TEMPLATE["Outputs"]) >= {
        "WebhooksUrl",
        "TableName",
        "BucketName",
        "EventBusName",
        "AlertTopicArn",
        "WorkQueueUrl",
        "WorkDlqUrl",
        "BindQueueUrl",
        "BindDlqUrl",
        "BackupQueueUrl",
        "BackupDlqUrl",
        "SecretsPrefix",
        *(f"{function}Name" for function in FUNCTIONS),
    }


def test_the_runtime_is_the_python_that_tests_and_bytecode_are_of() -> None:
    """The version in the template, in the Makefile and in the type checker's settings is one."""
    runtime = TEMPLATE["Globals"]["Function"]["Runtime"].removeprefix("python")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"BUILD_PYTHON ?= python{runtime}" in makefile
    assert f"--python-version {runtime}" in makefile
    assert f'python_version = "{runtime}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
