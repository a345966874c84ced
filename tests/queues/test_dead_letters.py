"""Dead letters: bodies that could not be understood are kept whole, once, in the bucket."""

import hashlib
from typing import Any

import boto3
import pytest

from shared.aws.dead_letters import connect_dead_letters
from shared.errors import Transient


def stored(bucket: str) -> dict[str, bytes]:
    s3 = boto3.client("s3")
    found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {
        item["Key"]: s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found
    }


@pytest.mark.parametrize("body", [b"", b"{", b"\x00\xff\xfe", b"x" * 1_048_576])
def test_a_body_is_kept_byte_for_byte(cloud: Any, body: bytes) -> None:
    """Whatever came is kept under its hash, up to the MiB that the door lets in."""
    kept = connect_dead_letters(cloud.bucket).keep("clerk", body)
    assert kept.sha256 == hashlib.sha256(body).hexdigest()
    assert kept.key == f"dead-letters/clerk/{kept.sha256}"
    assert stored(cloud.bucket) == {kept.key: body}


def test_a_redelivery_keeps_nothing_twice(cloud: Any) -> None:
    """The same body of the same provider is one object; another provider's is another."""
    letters = connect_dead_letters(cloud.bucket)
    assert letters.keep("clerk", b"x") == letters.keep("clerk", b"x")
    letters.keep("workos", b"x")
    assert len(stored(cloud.bucket)) == 2


def test_a_bucket_that_does_not_take_it_is_transient(cloud: Any) -> None:
    """The event must not be acknowledged: the provider has the only copy."""
    with pytest.raises(Transient, match="the bucket does not answer"):
        connect_dead_letters("not-there").keep("clerk", b"x")
