"""What `stack.json` says: where each door of the local stack is, and the secrets that open them."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from local.aws.deploy import Deployment
from local.aws.template import REGION
from local.emulator import Doors
from local.seed import APP

__all__ = ["describe", "write_description"]


def describe(
    deployment: Deployment,
    *,
    endpoint_url: str,
    doors: Doors,
    webhooks_url: str,
    secret: Callable[[str], str],
) -> dict[str, Any]:
    """Return what clients need; `secret` gives a secret's value by its short name.

    Of the secrets only those of the webhooks' senders are told (`auth/clerk`): the others are the
    stack's own.
    """
    amazon = f"https://sqs.{REGION}.amazonaws.com"
    outputs = {k: v.replace(amazon, endpoint_url) for k, v in deployment.outputs.items()}
    names = [name.removeprefix(f"{deployment.stack}/") for name in deployment.secrets]
    return {
        "webhooks_url": webhooks_url,
        "app_url": f"{doors.workers_url}/{APP}",
        "console_url": None,
        "cloudflare": {
            "base_url": doors.base_url,
            "account_id": doors.account_id,
            "api_token": secret("cloudflare-token"),
            "control_url": doors.control_url,
            "workers_url": doors.workers_url,
        },
        "aws": {
            "endpoint_url": endpoint_url,
            "region": REGION,
            "stack_name": deployment.stack,
            "table": outputs["TableName"],
            "queues": {
                "work": outputs["WorkQueueUrl"],
                "work_dlq": outputs["WorkDlqUrl"],
                "bind": outputs["BindQueueUrl"],
                "bind_dlq": outputs["BindDlqUrl"],
                "backup": outputs["BackupQueueUrl"],
                "backup_dlq": outputs["BackupDlqUrl"],
            },
            "topic_arn": outputs["AlertTopicArn"],
            "bucket": outputs["BucketName"],
        },
        "secrets": {
            name: secret(name)
            for name in names
            if name.startswith(("auth/", "billing/")) and not name.endswith("-api-key")
        },
    }


def write_description(path: Path, description: Mapping[str, Any]) -> None:
    """Write it whole or not at all: whoever finds the file can use everything in it."""
    unfinished = path.with_name(f"{path.name}.new")
    # It holds secrets, though they open nothing but this stack.
    with os.fdopen(os.open(unfinished, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
        json.dump(description, file, indent=2)
    unfinished.rename(path)
