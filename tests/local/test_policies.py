"""Least privilege, proven: what the functions really call is what their policies allow."""

import datetime as dt
import json
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from samtranslator.yaml_helper import yaml_parse
from svix.webhooks import Webhook

from local.aws.deploy import client
from local.stack import Stack

ROOT = Path(__file__).parents[2]
TEMPLATE: dict[str, Any] = yaml_parse((ROOT / "template.yaml").read_text(encoding="utf-8"))

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run a stack with a pool of one."""
    with Stack(tmp_path_factory.mktemp("policies"), {"POOL_TARGET": "1"}) as running:
        yield running


def send(stack: Stack, kind: str, data: dict[str, Any]) -> httpx.Response:
    """Send a webhook as Clerk does."""
    moment = int(time.time() * 1000)
    event = {"object": "event", "type": kind, "timestamp": moment, "data": data}
    body = json.dumps(event)
    now = dt.datetime.now(dt.UTC)
    identifier = f"msg_{uuid.uuid4().hex}"
    signature = Webhook(stack.description["secrets"]["auth/clerk"]).sign(identifier, now, body)
    return httpx.post(
        f"{stack.description['webhooks_url']}/webhooks/auth/clerk",
        content=body,
        headers={
            "content-type": "application/json",
            "svix-id": identifier,
            "svix-timestamp": str(int(now.timestamp())),
            "svix-signature": signature,
        },
        timeout=30,
    )


def organization(name: str) -> dict[str, Any]:
    moment = int(time.time() * 1000)
    return {"id": name, "object": "organization", "created_at": moment, "updated_at": moment}


def recorded(stack: Stack) -> set[tuple[str, str, str]]:
    """Return (function, action, resource) of each call so far."""
    lines = (stack.folder / "logs" / "aws-calls.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [json.loads(line) for line in lines]
    return {
        (call["caller"], call["action"], call["resource"])
        for call in calls
        if TEMPLATE["Resources"].get(call["caller"], {}).get("Type") == "AWS::Serverless::Function"
    }


def allowed(function: str, names: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (action, resource) that a role allows; `names` are physical, by logical id."""
    role = TEMPLATE["Resources"][function]["Properties"]["Role"]["Fn::GetAtt"][0]
    for policy in TEMPLATE["Resources"][role]["Properties"]["Policies"]:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions, resources = statement["Action"], statement["Resource"]
            for resource in resources if isinstance(resources, list) else [resources]:
                if isinstance(resource, str):
                    continue
                if "Fn::Sub" in resource:
                    owner, _, rest = resource["Fn::Sub"].removeprefix("${").partition(".Arn}")
                else:
                    owner, rest = resource.get("Ref") or resource["Fn::GetAtt"][0], ""
                for action in actions if isinstance(actions, list) else [actions]:
                    yield action, f"{names.get(owner, owner)}{rest}"


def matches(call: tuple[str, str], rule: tuple[str, str]) -> bool:
    action, resource = call
    if rule[1].endswith("*"):
        return action == rule[0] and resource.startswith(rule[1][:-1])
    return (action, resource) == rule


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
    names["EventBus"] = "local"
    for logical_id, resource in TEMPLATE["Resources"].items():
        if resource["Type"] == "AWS::SecretsManager::Secret":
            template = resource["Properties"]["Name"]["Fn::Sub"]
            names[logical_id] = template.replace("${AWS::StackName}", "local")
    return names


def test_each_function_calls_only_what_its_policy_allows(
    stack: Stack, eventually: Callable[..., None]
) -> None:
    """Signups, warm and cold, a leaving, a dead letter, a sweep: no call is outside its policy."""
    app = stack.description["app_url"]
    for name in ("org_warm", "org_cold"):
        assert send(stack, "organization.created", organization(name)).status_code == 200
    for name in ("org_warm", "org_cold"):
        eventually(lambda n=name: httpx.get(f"{app}/t/{n}/notes").status_code == 200, within=60)
    broken = send(stack, "organization.created", {"id": "no such id!", "object": "organization"})
    assert broken.json()["status"] == "dead_lettered"
    deleted = {"id": "org_warm", "object": "organization", "deleted": True}
    assert send(stack, "organization.deleted", deleted).status_code == 200
    eventually(lambda: httpx.get(f"{app}/t/org_warm/notes").status_code == 402, within=60)
    reconcile = next(f for f in stack.service.counts() if "Reconcile" in f)
    assert stack.service.invoke(reconcile, b'{"task":"sweep"}').error is None

    calls = recorded(stack)
    names = physical_names(stack)
    rules = {function: list(allowed(function, names)) for function in stack_functions()}
    excess = sorted(
        call for call in calls if not any(matches(call[1:], rule) for rule in rules[call[0]])
    )
    assert excess == []
    assert {call[0] for call in calls} == set(stack_functions())
    used = {(caller, action) for caller, action, _ in calls}
    assert {
        ("OnSignupFunction", "s3:PutObject"),
        ("OnSignupFunction", "sqs:SendMessage"),
        ("ProvisionFunction", "s3:GetObject"),
        ("ProvisionFunction", "events:PutEvents"),
        ("BindFunction", "secretsmanager:GetSecretValue"),
        ("ReconcileFunction", "dynamodb:Query"),
    } <= used


def stack_functions() -> list[str]:
    return [
        name
        for name, resource in TEMPLATE["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    ]
