"""Make the stack of the compiled template on moto, and say what has to be run besides.

CloudFormation on moto makes most resources, skips some kinds without a word, and runs nothing. So
what it skipped is made here from the resolved template, what has no meaning on one machine is
listed with the reason, and anything else is refused by name.
"""

import copy
import functools
import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from local.aws.lifecycle import lifecycle_of
from local.aws.template import CODE_BUCKET, CODE_KEY, REGION, Compiled, TemplateRefused
from shared.settings import BadSettings, Settings

if TYPE_CHECKING:
    from mypy_boto3_cloudformation.client import CloudFormationClient

__all__ = ["Deployment", "Function", "QueueMapping", "Route", "Schedule", "client", "deploy"]

NOT_NEEDED: Final = {
    "AWS::ApiGatewayV2::Api": "the gateway takes its place",
    "AWS::ApiGatewayV2::Stage": "the gateway takes its place",
    "AWS::CloudWatch::Alarm": "there are no metrics to watch",
    "AWS::Lambda::EventInvokeConfig": "schedules are not repeated here at all",
    "AWS::S3::BucketPolicy": "everything here is one machine's loopback",
}
"""What moto does not make and nothing here misses, with the reason."""

NEEDED_PROPERTIES: Final = {
    "AWS::SecretsManager::Secret": ("Name",),
    "AWS::SNS::Subscription": ("TopicArn", "Protocol", "Endpoint"),
}
"""What moto does not make and is made here, with the properties that are needed for it."""

_OUTPUT: Final = "D1fleetLocal"


@dataclass(frozen=True)
class Function:
    """A function as the template has it; `timeout` in seconds."""

    logical_id: str
    name: str
    arn: str
    handler: str
    timeout: int
    memory: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class QueueMapping:
    """A queue whose messages go to a function; `concurrency` is how many batches at once."""

    function: str
    queue_url: str
    queue_arn: str
    batch_size: int
    partial_failures: bool
    concurrency: int | None
    fifo: bool


@dataclass(frozen=True)
class Schedule:
    """A rule that fires a function with `payload`; `expression` as EventBridge has it."""

    name: str
    function: str
    expression: str
    payload: str | None
    arn: str


@dataclass(frozen=True)
class Route:
    """A route of the HTTP API; method `ANY` takes all."""

    function: str
    method: str
    path: str


@dataclass(frozen=True)
class Deployment:
    """All that the stack turned out to be; `secrets` are the full names that were filled."""

    stack: str
    functions: tuple[Function, ...]
    mappings: tuple[QueueMapping, ...]
    schedules: tuple[Schedule, ...]
    routes: tuple[Route, ...]
    outputs: Mapping[str, str]
    secrets: tuple[str, ...]


@functools.cache
def _session() -> boto3.Session:
    """Return the session of the AWS on this machine, whatever the user's own profile says."""
    return boto3.Session(
        aws_access_key_id="local",
        aws_secret_access_key="local",  # noqa: S106 - opens nothing but this machine's moto
        region_name=REGION,
    )


def client(service: str, endpoint_url: str) -> Any:
    """Return a boto3 client of the AWS on this machine; to be kept: making one takes a while."""
    config = Config(
        connect_timeout=5, read_timeout=60, retries={"mode": "standard", "max_attempts": 2}
    )
    # By keyword: a name that is only known at run time has no overload.
    return _session().client(service_name=service, endpoint_url=endpoint_url, config=config)  # type: ignore[call-overload]


class _Clients:
    """Hold the clients of one endpoint, each made once."""

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self._made: dict[str, Any] = {}

    def __getitem__(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = client(service, self.endpoint_url)
        return self._made[service]


def deploy(
    compiled: Compiled,
    *,
    stack: str,
    endpoint_url: str,
    secret_value: Callable[[str], str],
    extra_outputs: Mapping[str, str],
) -> Deployment:
    """Make the stack and return what has to be run.

    `secret_value` is asked for each secret by its name below the stack's prefix (`auth/clerk`);
    one whose value is empty is not made.
    `extra_outputs` replace outputs that only this machine can know (the gateway's address).

    Raises:
        TemplateRefused: with the name of the resource or variable that does not work here.
    """
    template = _for_moto(compiled.template, extra_outputs)
    aws = _Clients(endpoint_url)
    _put_code(aws)
    cloudformation = aws["cloudformation"]
    try:
        cloudformation.create_stack(
            StackName=stack,
            TemplateBody=json.dumps(template),
            Parameters=[
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in compiled.parameters.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
    except ClientError as error:
        raise TemplateRefused(f"the template can't be deployed: {error}") from error
    except ResponseParserError as error:  # moto fell over, and answers with a page
        raise TemplateRefused("the template can't be deployed: see the log of AWS") from error
    described = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
    every = {each["OutputKey"]: each["OutputValue"] for each in described["Outputs"]}
    made = _made(cloudformation, stack)
    _check_complete(template, made)
    secrets = _make_the_rest(template, every, stack, aws, secret_value)
    defaults = {name: str(each.get("Default", "")) for name, each in _parameters(template).items()}
    _switch_on(template, made, aws, {**defaults, **compiled.parameters})
    functions = tuple(_functions(template, made, aws))
    _check_settings(functions)
    by_id = {function.logical_id: function.name for function in functions}
    return Deployment(
        stack=stack,
        functions=functions,
        mappings=tuple(_mappings(functions, aws)),
        schedules=tuple(_schedules(functions, aws)),
        routes=tuple(Route(by_id[owner], verb, path) for owner, verb, path in compiled.routes),
        outputs={key: value for key, value in every.items() if not key.startswith(_OUTPUT)},
        secrets=secrets,
    )


def _for_moto(template: Mapping[str, Any], extra_outputs: Mapping[str, str]) -> dict[str, Any]:
    """Return the template as moto shall have it.

    Mappings are made disabled, or moto would take messages itself, and run them in Docker.
    Properties of resources that it skips are added as outputs: so it resolves them, by the same
    rules as all others.
    """
    changed = copy.deepcopy(dict(template))
    outputs = changed.setdefault("Outputs", {})
    for logical_id, resource in changed["Resources"].items():
        if resource["Type"] == "AWS::Lambda::EventSourceMapping":
            resource["Properties"]["Enabled"] = False
        for name in NEEDED_PROPERTIES.get(resource["Type"], ()):
            output = {"Value": resource["Properties"][name]}
            if "Condition" in resource:
                output["Condition"] = resource["Condition"]
            outputs[f"{_OUTPUT}{logical_id}{name}"] = output
    for name, value in extra_outputs.items():
        outputs[name] = {"Value": value}
    return changed


def _put_code(aws: _Clients) -> None:
    """Put an empty artefact where the template has the code: it runs from the work tree."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as empty:
        empty.writestr("README", "The functions run from the work tree.\n")
    s3 = aws["s3"]
    s3.create_bucket(Bucket=CODE_BUCKET)
    s3.put_object(Bucket=CODE_BUCKET, Key=CODE_KEY, Body=archive.getvalue())


def _made(cloudformation: "CloudFormationClient", stack: str) -> dict[str, str]:
    """Return the physical ids by logical id; empty for resources without an id of their own."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    return {
        summary["LogicalResourceId"]: summary.get("PhysicalResourceId", "")
        for page in pages
        for summary in page["StackResourceSummaries"]
        if summary.get("LogicalResourceId")  # moto lists what it skipped, as a row without a name
    }


def _check_complete(template: Mapping[str, Any], made: Mapping[str, str]) -> None:
    for logical_id, resource in template["Resources"].items():
        kind = resource["Type"]
        known = logical_id in made or kind in NEEDED_PROPERTIES or kind in NOT_NEEDED
        if not known and "Condition" not in resource:
            raise TemplateRefused(
                f"{logical_id} ({kind}): neither moto makes it nor does the local stack; "
                "teach local/aws/deploy.py to make it, or why it is not needed"
            )


def _make_the_rest(
    template: Mapping[str, Any],
    outputs: Mapping[str, str],
    stack: str,
    aws: _Clients,
    secret_value: Callable[[str], str],
) -> tuple[str, ...]:
    secrets = []
    for logical_id, resource in template["Resources"].items():
        kind = resource["Type"]
        needed = {
            name: outputs.get(f"{_OUTPUT}{logical_id}{name}")
            for name in NEEDED_PROPERTIES.get(kind, ())
        }
        if None in needed.values():
            continue  # its condition does not hold
        if kind == "AWS::SecretsManager::Secret":
            name = str(needed["Name"])
            if value := secret_value(name.removeprefix(f"{stack}/")):
                aws["secretsmanager"].create_secret(Name=name, SecretString=value)
                secrets.append(name)
        elif kind == "AWS::SNS::Subscription":
            aws["sns"].subscribe(**needed)
    return tuple(secrets)


def _parameters(template: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = template.get("Parameters", {})
    return found


def _switch_on(
    template: Mapping[str, Any],
    made: Mapping[str, str],
    aws: _Clients,
    parameters: Mapping[str, str],
) -> None:
    """Apply the properties that moto leaves out when CloudFormation makes the resource."""
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::DynamoDB::Table":
            dynamodb = aws["dynamodb"]
            if ttl := properties.get("TimeToLiveSpecification"):
                dynamodb.update_time_to_live(
                    TableName=made[logical_id], TimeToLiveSpecification=ttl
                )
            if recovery := properties.get("PointInTimeRecoverySpecification"):
                dynamodb.update_continuous_backups(
                    TableName=made[logical_id], PointInTimeRecoverySpecification=recovery
                )
        if resource["Type"] == "AWS::S3::Bucket" and "VersioningConfiguration" in properties:
            aws["s3"].put_bucket_versioning(
                Bucket=made[logical_id],
                VersioningConfiguration=properties["VersioningConfiguration"],
            )
        lifecycle = lifecycle_of(properties, parameters)
        if lifecycle is not None:
            aws["s3"].put_bucket_lifecycle_configuration(
                Bucket=made[logical_id], LifecycleConfiguration=lifecycle
            )


def _functions(
    template: Mapping[str, Any], made: Mapping[str, str], aws: _Clients
) -> Iterator[Function]:
    amazon = f"https://sqs.{REGION}.amazonaws.com/"
    api = aws["lambda"]
    for logical_id, resource in template["Resources"].items():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        found = api.get_function_configuration(FunctionName=made[logical_id])
        yield Function(
            logical_id=logical_id,
            name=found["FunctionName"],
            arn=found["FunctionArn"],
            handler=found["Handler"],
            timeout=found["Timeout"],
            memory=found["MemorySize"],
            # Queues at moto's address: were a URL ever used as it stands, it must not leave this
            # machine.
            environment={
                key: str(value).replace(amazon, f"{aws.endpoint_url}/")
                for key, value in found["Environment"]["Variables"].items()
            },
        )


def _check_settings(functions: tuple[Function, ...]) -> None:
    for function in functions:
        try:
            Settings.from_env(function.environment)
        except BadSettings as error:
            raise TemplateRefused(f"{function.logical_id}: {error}") from error


def _mappings(functions: tuple[Function, ...], aws: _Clients) -> Iterator[QueueMapping]:
    names = {function.arn: function.name for function in functions}
    sqs = aws["sqs"]
    for found in aws["lambda"].list_event_source_mappings()["EventSourceMappings"]:
        arn = found["EventSourceArn"]
        service, queue = arn.split(":")[2], arn.split(":")[-1]
        if service != "sqs":
            raise TemplateRefused(f"{arn}: only queues can be event sources on this machine")
        try:
            url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        except ClientError as error:
            raise TemplateRefused(f"{queue}: the queue of an event source is not there") from error
        yield QueueMapping(
            function=names[found["FunctionArn"]],
            queue_url=url,
            queue_arn=arn,
            batch_size=found["BatchSize"],
            partial_failures="ReportBatchItemFailures" in found.get("FunctionResponseTypes", []),
            concurrency=found.get("ScalingConfig", {}).get("MaximumConcurrency"),
            fifo=queue.endswith(".fifo"),
        )


def _schedules(functions: tuple[Function, ...], aws: _Clients) -> Iterator[Schedule]:
    names = {function.arn: function.name for function in functions}
    events = aws["events"]
    for rule in events.list_rules()["Rules"]:
        for target in events.list_targets_by_rule(Rule=rule["Name"])["Targets"]:
            if target["Arn"] not in names:
                continue
            if "ScheduleExpression" not in rule:
                raise TemplateRefused(
                    f"{rule['Name']}: only schedules can start functions on this machine"
                )
            yield Schedule(
                name=rule["Name"],
                function=names[target["Arn"]],
                expression=rule["ScheduleExpression"],
                payload=target.get("Input"),
                arn=rule["Arn"],
            )
