"""The pushed migrations: their head in the state table, their texts in the bucket.

The bucket holds each text once, under its checksum, and never changes it. The head is one item
written on the condition of the version that was read, so a push is there as a whole or not at all,
however many files it has.
"""

import base64
import hashlib
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from shared.aws.table import Condition, Put, Table
from shared.domain.migrations import Head, Migration, MigrationFile
from shared.domain.sql import Statement, split
from shared.errors import Permanent, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["MigrationStore"]

_KEY: Final = {"pk": "MIGRATIONS", "sk": "HEAD"}
_MAX_FILES: Final = 1_500
"""As many entries as surely fit into one item of 400 KB."""


class MigrationStore:
    """Keep the migrations of a fleet.

    Every method raises `Transient` when AWS does not answer.
    """

    def __init__(self, table: Table, s3: "S3Client", bucket: str) -> None:
        self._table = table
        self._s3 = s3
        self._bucket = bucket
        self._read: dict[str, tuple[Statement, ...]] = {}

    def head(self) -> Head | None:
        """Return the head, read consistently, or None when nothing was ever pushed."""
        item = self._table.get(_KEY["pk"], _KEY["sk"])
        return None if item is None else Head.model_validate(item)

    def files(self, head: Head) -> tuple[MigrationFile, ...]:
        """Return the head's files in order, with their statements; texts are read once a process.

        Raises:
            Permanent: a text is gone from the bucket or is not what was pushed.
        """
        return tuple(self._file(entry.name, entry.sha256) for entry in head.files)

    def keep(self, migration: Migration) -> None:
        """Store a file's text for good; do nothing when it is there already."""
        digest = hashlib.sha256(migration.data).digest()
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=_key(migration.sha256),
                Body=migration.data,
                ContentType="application/sql",
                ChecksumSHA256=base64.b64encode(digest).decode(),
                IfNoneMatch="*",
            )
        except ClientError as error:
            if _code(error) == "PreconditionFailed":
                return
            raise _translated(error) from error
        except BotoCoreError as error:
            raise Transient(f"S3 does not answer: {type(error).__name__}") from error

    def move_head(self, before: Head | None, after: Head) -> None:
        """Make `after` the head if the head still is `before`.

        Raises:
            Conflict: somebody else pushed meanwhile.
            Permanent: the head has more files than one item can name.
        """
        if len(after.files) > _MAX_FILES:
            raise Permanent(
                f"{len(after.files)} migration files are more than {_MAX_FILES}: squash the oldest"
            )
        if before is None:
            condition = Condition("nothing was pushed yet", "attribute_not_exists(pk)")
        else:
            condition = Condition(
                "nobody else pushed meanwhile",
                "#version = :read",
                {"#version": "version"},
                {":read": before.version},
            )
        self._table.write(Put({**_KEY, **after.model_dump()}, condition))

    def _file(self, name: str, sha256: str) -> MigrationFile:
        statements = self._statements(name, sha256)
        return MigrationFile(
            name,
            sha256,
            tuple(statement.text for statement in statements),
            tuple(statement.line for statement in statements),
        )

    def _statements(self, name: str, sha256: str) -> tuple[Statement, ...]:
        if sha256 not in self._read:
            data = self._text(name, sha256)
            if hashlib.sha256(data).hexdigest() != sha256:
                raise Permanent(
                    f"migration {name} in the bucket is not what was pushed: delete the object "
                    f"{_key(sha256)} and push the same folder again"
                )
            self._read[sha256], _ = split(data.decode())
        return self._read[sha256]

    def _text(self, name: str, sha256: str) -> bytes:
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=_key(sha256))
            return answer["Body"].read()
        except ClientError as error:
            if _code(error) == "NoSuchKey":
                raise Permanent(
                    f"migration {name} is gone from the bucket: push the same folder again"
                ) from error
            raise _translated(error) from error
        except BotoCoreError as error:
            raise Transient(f"S3 does not answer: {type(error).__name__}") from error


def _key(sha256: str) -> str:
    return f"migrations/{sha256}.sql"


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


def _translated(error: ClientError) -> Exception:
    busy = error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
    if busy or _code(error) in {"SlowDown", "ConditionalRequestConflict"}:
        return Transient(f"S3 is busy: {_code(error)}", retry_after=1)
    return error
