"""Dumps go into the bucket in a stream and come back as they went, or not at all."""

import hashlib
import tracemalloc
from collections.abc import Iterator
from itertools import islice
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from shared.aws.backups import PART, PIECE, BackupGone, BackupStore, NotAsStored, connect_backups
from shared.errors import Permanent, Transient

KEY = "backups/01JDCB6M5V5P6Z5N1QG3Y00001/01JDCB6M5V5P6Z5N1QG3B00001.sql"


@pytest.fixture
def store(cloud: Any) -> BackupStore:
    boto3.client("s3").put_bucket_versioning(
        Bucket=cloud.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    return connect_backups(cloud.bucket)


def dump(size: int) -> bytes:
    return bytes(number % 251 for number in range(997)) * (size // 997) + b"x" * (size % 997)


def pieces(body: bytes, length: int = 700_001) -> Iterator[bytes]:
    for start in range(0, len(body), length):
        yield body[start : start + length]


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART + 5])
def test_a_dump_comes_back_as_it_went(store: BackupStore, size: int) -> None:
    """Whatever its size, the stored version is the very bytes, and its hashes are theirs."""
    body = dump(size)
    stored = store.keep(KEY, pieces(body))
    assert stored.size == size
    assert stored.sha256 == hashlib.sha256(body).hexdigest()
    assert stored.md5 == hashlib.md5(body, usedforsecurity=False).hexdigest()
    assert b"".join(store.read(KEY, stored.version_id, sha256=stored.sha256)) == body


def test_memory_stays_flat(store: BackupStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dump of many parts takes the memory of a few: what passed is let go of."""
    kept: list[int] = []

    class Bottomless:
        """A bucket that forgets what it is given, so that only our own memory is measured."""

        def create_multipart_upload(self, **_: Any) -> dict[str, str]:
            return {"UploadId": "u"}

        def upload_part(self, *, Body: bytes, **_: Any) -> dict[str, str]:  # noqa: N803 - S3's name
            kept.append(len(Body))
            return {"ETag": "e"}

        def complete_multipart_upload(self, **_: Any) -> dict[str, str]:
            return {"VersionId": "v"}

    piece = b"x" * 500_000
    bottomless: Any = Bottomless()
    tracemalloc.start()
    try:
        stored = BackupStore(bottomless, "bucket").keep(KEY, (piece for _ in range(400)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert stored.size == sum(kept) == 200_000_000
    assert peak < 8 * PART


def test_each_version_stays_what_it_was(store: BackupStore) -> None:
    """A second dump under the same key leaves the first one readable by its version."""
    first = store.keep(KEY, [b"first"])
    second = store.keep(KEY, [b"second"])
    assert b"".join(store.read(KEY, first.version_id, sha256=first.sha256)) == b"first"
    assert b"".join(store.read(KEY, second.version_id, sha256=second.sha256)) == b"second"


def test_what_is_not_as_stored_is_never_given_whole(store: BackupStore) -> None:
    """With another hash than expected the last piece is held back and the reader is told."""
    body = dump(PART)
    stored = store.keep(KEY, [body])
    reading = store.read(KEY, stored.version_id, sha256="0" * 64)
    given = list(islice(reading, PART // PIECE - 1))
    with pytest.raises(NotAsStored):
        next(reading)
    assert sum(map(len, given)) < len(body)


def test_a_dump_that_breaks_off_leaves_nothing(store: BackupStore, cloud: Any) -> None:
    """When the dump itself fails on the way, no version and no unfinished upload stays."""

    def broken() -> Iterator[bytes]:
        yield b"x" * (2 * PART)
        raise Permanent("no dump")

    with pytest.raises(Permanent, match="no dump"):
        store.keep(KEY, broken())
    s3 = boto3.client("s3")
    assert "Versions" not in s3.list_object_versions(Bucket=cloud.bucket)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=cloud.bucket)


def test_notes_are_kept_beside(store: BackupStore) -> None:
    """A small text is stored and read by its key; one that is not there is said to be gone."""
    store.keep_note("backups/a.json", '{"a": "ä"}')
    assert store.note("backups/a.json") == '{"a": "ä"}'
    with pytest.raises(BackupGone):
        store.note("backups/b.json")


def test_what_the_retention_took_is_gone(store: BackupStore) -> None:
    """A version that is no longer there is no reason to try again."""
    stored = store.keep(KEY, [b"x"])
    assert store.delete_all("backups/") == 1
    with pytest.raises(BackupGone, match="retention"):
        list(store.read(KEY, stored.version_id, sha256=stored.sha256))


def test_an_erasure_takes_every_version(store: BackupStore, cloud: Any) -> None:
    """All versions and markers under a prefix go, others stay."""
    s3 = boto3.client("s3")
    for name in ("a/1.sql", "a/1.sql", "a/2.sql", "b/1.sql"):
        store.keep(f"backups/{name}", [b"x"])
    s3.delete_object(Bucket=cloud.bucket, Key="backups/a/2.sql")
    assert store.delete_all("backups/a/") == 4
    (left,) = s3.list_object_versions(Bucket=cloud.bucket)["Versions"]
    assert left["Key"] == "backups/b/1.sql"
    assert store.delete_all("backups/a/") == 0


def test_a_bucket_without_versions_is_refused(cloud: Any) -> None:
    """A proof names a version: where none is kept nothing is stored under its name."""
    store = connect_backups(cloud.bucket)
    with pytest.raises(Permanent, match="versioning"):
        store.check()
    with pytest.raises(Permanent, match="versioning"):
        store.keep(KEY, [b"x"])


def test_a_bucket_that_keeps_versions_passes(store: BackupStore) -> None:
    """The check says nothing when all is well."""
    store.check()


@pytest.mark.parametrize(
    ("code", "status", "error", "says"),
    [
        ("AccessDenied", 403, Permanent, "allow s3:PutObject"),
        ("KMS.DisabledException", 400, Permanent, "encryption key"),
        ("NoSuchBucket", 404, Permanent, "BUCKET_NAME"),
        ("InternalError", 500, Transient, "busy"),
        ("SlowDown", 503, Transient, "busy"),
        ("RequestTimeout", 400, Transient, "busy"),
    ],
)
def test_a_refusal_says_what_to_do(
    cloud: Any, code: str, status: int, error: type[Exception], says: str
) -> None:
    """What passes is tried again, what stays is a person's matter."""
    s3 = boto3.client("s3")
    with Stubber(s3) as stub:
        stub.add_client_error("put_object", code, http_status_code=status)
        with pytest.raises(error, match=says) as raised:
            BackupStore(s3, cloud.bucket).keep(KEY, [b"x"])
    assert type(raised.value) is error


def test_an_unreachable_bucket_is_transient(cloud: Any) -> None:
    """No connection is no verdict."""
    s3 = boto3.client("s3", endpoint_url="http://127.0.0.1:1")
    with pytest.raises(Transient, match="does not answer"):
        BackupStore(s3, cloud.bucket).check()
