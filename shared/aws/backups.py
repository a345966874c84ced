"""Backups in the bucket: dumps in a stream, out and in, named by the very version that was stored.

Nothing is held whole: a dump passes in parts of 8 MiB, its size and hashes are taken on the way.
The bucket encrypts, keeps versions, and its lifecycle rule on `backups/` lets go of them. Keys hold
no tenant's id.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef, ObjectIdentifierTypeDef

__all__ = ["BackupGone", "BackupStore", "NotAsStored", "Stored", "connect_backups"]

PART: Final = 8 * 1024 * 1024
"""Bytes of a part: S3 takes no smaller ones than 5 MiB, and at most 10,000 of them."""
PIECE: Final = 1024 * 1024
_DELETED_AT_ONCE: Final = 1000

_DAMAGED: Final = "the backup {} in the bucket is not what was stored there"
_GONE: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404"})
_REFUSED: Final = frozenset({"AccessDenied", "AllAccessDisabled", "403"})
_PASSING: Final = frozenset({"SlowDown", "RequestTimeout", "OperationAborted", "Throttling"})


class NotAsStored(Permanent):
    """Say that what the bucket gave is not what was put there."""


class BackupGone(Permanent):
    """Say that the bucket no longer holds a backup."""


@dataclass(frozen=True)
class Stored:
    """Name one stored dump: its place, its size in bytes, its hashes in hex."""

    key: str
    version_id: str
    size: int
    sha256: str
    md5: str


@dataclass
class _Tally:
    """Take the size and the hashes of what passes."""

    size: int = 0
    sha256: Any = field(default_factory=hashlib.sha256)
    md5: Any = field(default_factory=lambda: hashlib.md5(usedforsecurity=False))

    def add(self, piece: bytes) -> None:
        self.size += len(piece)
        self.sha256.update(piece)
        self.md5.update(piece)


def connect_backups(bucket: str) -> "BackupStore":
    """Return the store of backups, endpoint and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=30, retries={"mode": "standard", "max_attempts": 3}
    )
    return BackupStore(boto3.client("s3", config=config), bucket)


class BackupStore:
    """Keep dumps and give them back.

    Every method raises `Transient` when the bucket does not answer, and `Permanent`, with what to
    do, when it refuses.
    """

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._s3 = s3
        self._bucket = bucket

    def check(self) -> None:
        """See that the bucket answers and keeps versions: a proof stands on one."""
        try:
            answer = self._s3.get_bucket_versioning(Bucket=self._bucket)
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:GetBucketVersioning")
        if answer.get("Status") != "Enabled":
            raise Permanent(
                f"the bucket {self._bucket} keeps no versions, so that a stored backup could be "
                "overwritten: switch its versioning on"
            )

    def keep(self, key: str, pieces: Iterable[bytes]) -> Stored:
        """Store a dump as it comes; what fails half-way leaves nothing."""
        tally = _Tally()
        parts = _parts(pieces, tally)
        first = next(parts, b"")
        second = next(parts, None)
        try:
            if second is None:
                version = self._put(key, first, "application/sql")
            else:
                version = self._put_in_parts(key, chain((first, second), parts))
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:PutObject")
        return Stored(key, version, tally.size, tally.sha256.hexdigest(), tally.md5.hexdigest())

    def read(self, key: str, version_id: str, *, sha256: str) -> Iterator[bytes]:
        """Yield a stored dump piece by piece; the last only once all of it is known to be right.

        Raises:
            NotAsStored: its SHA-256 is another.
            BackupGone: it is no longer there.
        """
        seen = hashlib.sha256()
        held = b""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, VersionId=version_id)
            with closing(answer["Body"]) as body:
                for piece in body.iter_chunks(PIECE):
                    seen.update(piece)
                    if held:
                        yield held
                    held = piece
        except FlexibleChecksumError as error:
            # S3's own checksum of the object, which boto3 looks at too.
            raise NotAsStored(_DAMAGED.format(key)) from error
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:GetObjectVersion")
        if seen.hexdigest() != sha256:
            raise NotAsStored(_DAMAGED.format(key))
        if held:
            yield held

    def keep_note(self, key: str, text: str) -> None:
        """Store a small text that belongs to a dump."""
        try:
            self._put(key, text.encode(), "application/json")
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:PutObject")

    def note(self, key: str) -> str:
        """Return a small text that was stored.

        Raises:
            BackupGone: it is no longer there.
        """
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=key)
            with closing(answer["Body"]) as body:
                return body.read().decode()
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:GetObject")

    def delete_all(self, prefix: str) -> int:
        """Delete every version of everything under a prefix, for good; return how many.

        Only an erasure does this, on an operator's word; no function may.
        """
        count = 0
        try:
            pages = self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            for page in pages:
                found: list[ObjectIdentifierTypeDef] = [
                    {"Key": each["Key"], "VersionId": each["VersionId"]}
                    for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
                ]
                count += self._delete(found)
        except (ClientError, BotoCoreError) as error:
            self._refuse(error, "s3:ListBucketVersions and s3:DeleteObjectVersion")
        return count

    def _delete(self, found: "list[ObjectIdentifierTypeDef]") -> int:
        for start in range(0, len(found), _DELETED_AT_ONCE):
            some = found[start : start + _DELETED_AT_ONCE]
            answer = self._s3.delete_objects(
                Bucket=self._bucket, Delete={"Objects": some, "Quiet": True}
            )
            if failed := answer.get("Errors"):
                code = failed[0].get("Code", "unknown")
                raise Transient(f"the bucket did not delete {len(failed)} objects: {code}")
        return len(found)

    def _put(self, key: str, body: bytes, type_: str) -> str:
        answer = self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, ContentType=type_)
        return self._version(answer)

    def _put_in_parts(self, key: str, parts: Iterable[bytes]) -> str:
        s3, bucket = self._s3, self._bucket
        begun = s3.create_multipart_upload(Bucket=bucket, Key=key, ContentType="application/sql")
        upload = begun["UploadId"]
        try:
            done: list[CompletedPartTypeDef] = []
            for number, part in enumerate(parts, start=1):
                taken = s3.upload_part(
                    Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
                )
                done.append({"PartNumber": number, "ETag": taken["ETag"]})
            whole = s3.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": done}
            )
            return self._version(whole)
        except BaseException:
            # What remains of it costs money and is seen by nobody; the lifecycle rule is the net.
            with suppress(ClientError, BotoCoreError):
                s3.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload)
            raise

    def _version(self, answer: Any) -> str:
        version = answer.get("VersionId")
        if not version or version == "null":
            raise Permanent(f"the bucket {self._bucket} keeps no versions: switch versioning on")
        return str(version)

    def _refuse(self, error: ClientError | BotoCoreError, needs: str) -> NoReturn:
        if isinstance(error, BotoCoreError):
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        code = str(error.response["Error"]["Code"])
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status >= 500 or code in _PASSING:
            raise Transient(f"the bucket is busy: {code}", retry_after=1) from error
        if code in _GONE:
            raise BackupGone(
                "the bucket no longer holds this backup: its retention is over, or somebody "
                "deleted it"
            ) from error
        if code in _REFUSED:
            raise Permanent(
                f"the bucket {self._bucket} refuses ({code}): allow {needs} on it to the role of "
                "the function or operator, and look at the bucket's own policy"
            ) from error
        raise Permanent(
            f"the bucket {self._bucket} refuses ({code}): look at its policy, its encryption key "
            "and its name in BUCKET_NAME"
        ) from error


def _parts(pieces: Iterable[bytes], tally: _Tally) -> Iterator[bytes]:
    """Yield what comes in parts of `PART` bytes, the last one smaller."""
    held = bytearray()
    for piece in pieces:
        tally.add(piece)
        held += piece
        while len(held) >= PART:
            with memoryview(held) as view:
                part = bytes(view[:PART])
            yield part
            del held[:PART]
    if held:
        yield bytes(held)
