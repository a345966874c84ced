"""What the template's roles allow, and what the functions really called."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from samtranslator.yaml_helper import yaml_parse

from local.aws.deploy import client
from local.stack import Stack

__all__ = ["allowed", "by_lambda", "matches", "physical_names", "rare", "recorded"]

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
LAMBDAS_OWN = frozenset(
    {
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        "sqs:ChangeMessageVisibility",
        "sqs:DeleteMessage",
        "sqs:GetQueueAttributes",
        "sqs:ReceiveMessage",
        "xray:PutTelemetryRecords",
        "xray:PutTraceSegments",
    }
)
"""What the service does in the role's name: feed the function from its queue, keep its logs."""

RARE = {
    # A dump that breaks off; what was sent so far is given up.
    ("BackupFunction", "s3:AbortMultipartUpload", "Bucket"),
    # A backup that is refused: the alert.
    ("BackupFunction", "sns:Publish", "AlertTopic"),
    # An alert that is no news, or one of too many: its finding is kept, and its row goes.
    ("BackupFunction", "dynamodb:DeleteItem", "Table"),
    ("BindFunction", "dynamodb:DeleteItem", "Table"),
    # A backup that has to wait, for a permit of the API budget above all.
    ("BackupFunction", "sqs:SendMessage", "BackupQueue"),
    # Never called: it makes S3 say that a key is not there.
    ("ProvisionFunction", "s3:ListBucket", "Bucket"),
    ("BackupFunction", "s3:ListBucket", "Bucket"),
    ("ReconcileFunction", "s3:ListBucket", "Bucket"),
    # A pass that goes on in the next invocation, or whose repairs are seen to.
    ("ReconcileFunction", "s3:GetObject", "Bucket"),
    # An alert that is no news, for what it speaks of stands already: its row is removed.
    ("BindFunction", "dynamodb:DeleteItem", "Table"),
    # Long work whose message was lost five minutes ago.
    ("ReconcileFunction", "sqs:SendMessage", "BackupQueue"),
    # Alerts that go out as signed webhooks, of a fleet that has an address for them.
    ("ReconcileFunction", "secretsmanager:GetSecretValue", "AlertWebhook"),
}
"""What is called on days that no story of a minute can have; unit tests have them."""

Rule = tuple[str, str]
"""An action, and the resource as callers name it; a star at its end matches the rest."""


def by_lambda(action: str) -> bool:
    """Say whether the service itself needs an action, so that no code is seen using it."""
    return action in LAMBDAS_OWN


def rare(function: str, rule: Rule, names: dict[str, str]) -> bool:
    """Say whether a permission is for what seldom happens."""
    action, resource = rule
    return any(
        (who, what) == (function, action) and resource.startswith(names[where])
        for who, what, where in RARE
    )


def recorded(stack: Stack) -> set[tuple[str, str, str]]:
    """Return (function, action, resource) of each call so far."""
    lines = (stack.folder / "logs" / "aws-calls.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [json.loads(line) for line in lines]
    return {
        (call["caller"], call["action"], call["resource"])
        for call in calls
        if RESOURCES.get(call["caller"], {}).get("Type") == "AWS::Serverless::Function"
    }


def allowed(function: str, names: dict[str, str]) -> Iterator[Rule]:
    """Yield what a function's role allows; `names` are physical, by logical id."""
    role = RESOURCES[function]["Properties"]["Role"]["Fn::GetAtt"][0]
    for policy in RESOURCES[role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            for resource in _listed(statement["Resource"]):
                for action in _listed(statement["Action"]):
                    yield action, _named(resource, names)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _named(resource: Any, names: dict[str, str]) -> str:
    if isinstance(resource, str):
        return resource
    if "Fn::Sub" in resource:
        owner, _, rest = resource["Fn::Sub"].removeprefix("${").partition(".Arn}")
        return f"{names[owner]}{rest}"
    owner = resource.get("Ref") or resource["Fn::GetAtt"][0]
    return names[owner]


def matches(call: Rule, rule: Rule) -> bool:
    """Say whether a rule covers a call."""
    (action, resource), (allows, covers) = call, rule
    if covers.endswith("*"):
        return action == allows and resource.startswith(covers[:-1])
    return call == rule


def physical_names(stack: Stack) -> dict[str, str]:
    """Return what each resource is called here, as its callers name it."""
    cloudformation = client("cloudformation", stack.description["aws"]["endpoint_url"])
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName="local")
    names = {
        each["LogicalResourceId"]: each.get("PhysicalResourceId", "").rpartition("/")[2]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each.get("LogicalResourceId")
    }
    cloudformation.close()
    for logical_id, resource in RESOURCES.items():
        kind, properties = resource["Type"], resource.get("Properties", {})
        if kind == "AWS::SecretsManager::Secret":
            names[logical_id] = properties["Name"]["Fn::Sub"].replace("${AWS::StackName}", "local")
        elif kind == "AWS::Events::EventBus":
            names[logical_id] = "local"
    return names
