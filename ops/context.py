"""Which deployment a command works on, and everything that it needs of it.

A deployment is found through its CloudFormation stack, on AWS as on this machine: the stack's
outputs name the reconcile function, and that function's variables are the settings. So the CLI
works with exactly what the functions work with. On this machine `.d1fleet/stack.json`, in the
folder where the command runs, says where AWS is.
"""

import getpass
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError, ProfileNotFound

from ops.program import Failed
from shared import wiring
from shared.settings import Settings

__all__ = ["STACK_FILE", "Deployment", "Where", "find_deployment"]

STACK_FILE: Final = Path(".d1fleet") / "stack.json"
FUNCTION_OUTPUT: Final = "ReconcileFunctionName"
_QUICK: Final = Config(connect_timeout=5, read_timeout=20, retries={"total_max_attempts": 3})


@dataclass(frozen=True)
class Where:
    """Hold what the command line says of the deployment; all None: the local stack."""

    profile: str | None = None
    region: str | None = None
    stack: str | None = None

    def or_else(self, other: "Where") -> "Where":
        """Return this, with what it does not say taken from another."""
        return Where(
            self.profile or other.profile,
            self.region or other.region,
            self.stack or other.stack,
        )

    @property
    def local(self) -> bool:
        """Say whether nothing points to AWS."""
        return self == Where()


@dataclass(frozen=True)
class Deployment:
    """Hold one deployment. `local` is the stack file's content, None on AWS."""

    stack: str
    settings: Settings
    outputs: Mapping[str, str]
    local: Mapping[str, Any] | None
    trace: str

    @cached_property
    def parts(self) -> wiring.Parts:
        """Return the parts that the use cases stand on; histories name the person who types."""
        return wiring.build(f"operator:{user()}", self.settings)

    def output(self, name: str) -> str:
        """Return an output of the stack.

        Raises:
            Failed: the stack is of another version.
        """
        if name not in self.outputs:
            raise Failed(f"stack {self.stack} has no output {name}: deploy this version first")
        return self.outputs[name]


def user() -> str:
    """Return who types, as far as this machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without that user
        return "unknown"


def find_deployment(where: Where, folder: Path) -> Deployment:
    """Return the deployment that a command line means.

    Sets AWS's own environment variables of this process, so that whatever opens a client in it
    reaches the same place.

    Raises:
        Failed: there is none, or it does not answer; the line says what to do.
    """
    local = _read_stack_file(folder) if where.local else None
    if local is None and where.stack is None:
        raise Failed(
            f"no {STACK_FILE} in this folder and no --stack: run `d1fleet up` here, "
            "or name a deployed stack with --stack (and --profile, --region)"
        )
    if local is not None:
        _point_at_this_machine(local)
    else:
        _point_at_aws(where)
    try:
        name, outputs = _outputs(where.stack or _text(local, "aws", "stack_name"))
        variables = _variables(outputs, name)
    except EndpointConnectionError as error:
        if local is None:
            raise
        raise Failed("the local stack does not answer: start it with `d1fleet up`") from error
    if local is not None:
        amazon = f"https://sqs.{_text(local, 'aws', 'region')}.amazonaws.com/"
        there = f"{_text(local, 'aws', 'endpoint_url')}/"
        variables = {key: value.replace(amazon, there) for key, value in variables.items()}
    settings = Settings.from_env(variables)
    return Deployment(name, settings, outputs, local, trace=f"cli-{secrets.token_hex(8)}")


def _read_stack_file(folder: Path) -> Mapping[str, Any] | None:
    path = folder / STACK_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Failed(f"{path} can't be read ({error}): start the stack again") from error
    if _text(content, "aws", "endpoint_url") is None:
        raise Failed(f"{path} does not say where AWS is: start the stack again")
    return dict(content)


def _text(content: Any, *path: str) -> str | None:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content if isinstance(content, str) else None


def _point_at_this_machine(local: Mapping[str, Any]) -> None:
    """Let no profile or key of the user's be found: a local command must never reach AWS."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ.update(
        AWS_ENDPOINT_URL=_text(local, "aws", "endpoint_url") or "",
        AWS_DEFAULT_REGION=_text(local, "aws", "region") or "us-east-1",
        AWS_REGION=_text(local, "aws", "region") or "us-east-1",
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",  # noqa: S106 - moto takes any
        AWS_CONFIG_FILE=os.devnull,
        AWS_SHARED_CREDENTIALS_FILE=os.devnull,
        AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="false",
    )
    boto3.setup_default_session()


def _point_at_aws(where: Where) -> None:
    if where.profile:
        os.environ["AWS_PROFILE"] = where.profile
    if where.region:
        os.environ["AWS_DEFAULT_REGION"] = os.environ["AWS_REGION"] = where.region
    try:
        boto3.setup_default_session(profile_name=where.profile, region_name=where.region)
    except ProfileNotFound as error:
        raise Failed(f"{error}: see `aws configure list-profiles`") from error
    if boto3.DEFAULT_SESSION is not None and boto3.DEFAULT_SESSION.region_name is None:
        raise Failed("no region: give --region, or set one in the profile")


def _outputs(name: str | None) -> tuple[str, dict[str, str]]:
    """Return the stack's name and its outputs; without a name, of the only stack of ours."""
    cloudformation = boto3.client("cloudformation", config=_QUICK)
    try:
        if name is None:
            stacks = cloudformation.describe_stacks()["Stacks"]
        else:
            stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "ValidationError":
            raise Failed(f"there is no stack {name} here: see --stack and --region") from error
        raise
    found = [
        (stack["StackName"], {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())})
        for stack in stacks
    ]
    ours = [(stack, outputs) for stack, outputs in found if FUNCTION_OUTPUT in outputs]
    if len(ours) != 1:
        raise Failed(f"stack {name or ''} is not one of d1fleet's, or not deployed yet")
    return ours[0]


def _variables(outputs: Mapping[str, str], stack: str) -> dict[str, str]:
    function = outputs[FUNCTION_OUTPUT]
    api = boto3.client("lambda", config=_QUICK)
    found = api.get_function_configuration(FunctionName=function)
    variables = found.get("Environment", {}).get("Variables", {})
    if not variables:
        raise Failed(f"function {function} of stack {stack} has no variables: deploy it again")
    # On this machine numbers of the template stay numbers.
    return {name: str(value) for name, value in variables.items()}
