"""Well-signed webhook bodies that could not be understood, kept in the bucket for 45 days.

The bucket encrypts them and its lifecycle rule on `dead-letters/` removes them.
"""

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import Transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["DeadLetters", "Kept", "connect_dead_letters"]


@dataclass(frozen=True)
class Kept:
    """Say where a body is kept, and its hash (hex)."""

    key: str
    sha256: str


def connect_dead_letters(bucket: str) -> "DeadLetters":
    """Return the store of dead letters, endpoint and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "max_attempts": 3}
    )
    return DeadLetters(boto3.client("s3", config=config), bucket)


class DeadLetters:
    """Keep bodies by their hash, so that a redelivery keeps nothing twice."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def keep(self, provider: str, body: bytes) -> Kept:
        """Store a body.

        Raises:
            Transient: the bucket does not take it; the event must not be acknowledged.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        key = f"dead-letters/{provider}/{sha256}"
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=body,
                ContentType="application/octet-stream",
                ChecksumAlgorithm="SHA256",
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        return Kept(key, sha256)
