"""What a function's process gets: its variables, and the way to the AWS on this machine."""

from pathlib import Path
from typing import Final

from local.aws.deploy import Function
from local.aws.template import REGION
from local.functions.environment import Launch

__all__ = ["credentials", "launch_of"]

ROOT: Final = Path(__file__).resolve().parents[2]


def credentials(endpoint_url: str, who: str) -> dict[str, str]:
    """Return what lets boto3 find the AWS on this machine, and no other; `who` signs."""
    return {
        "AWS_ENDPOINT_URL": endpoint_url,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": who,
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def launch_of(function: Function, endpoint_url: str, logs: Path) -> Launch:
    """Return how a function's processes are started; what they print goes to a file in `logs`."""
    name = function.environment.get("POWERTOOLS_SERVICE_NAME", function.logical_id)
    return Launch(
        name=function.name,
        arn=function.arn,
        handler=function.handler,
        timeout=function.timeout,
        memory=function.memory,
        variables={**function.environment, **credentials(endpoint_url, function.logical_id)},
        root=ROOT,
        log=logs / f"{name}.log",
    )
