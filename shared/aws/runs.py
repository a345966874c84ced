"""The reconciler's own records: what the last run counted, and where an unfinished one goes on.

::

    RECONCILE / LAST      what the last whole pass counted, and where its report is
    RECONCILE / RUN#<id>  a run that ran out of time or of permits: from when it goes on

What a run has seen so far, and its report, are in the bucket: both may be larger than an item.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict

from shared.aws.table import Condition, Delete, Put, Table, Update
from shared.domain.drift.evidence import Counts
from shared.domain.lifecycle import Instant, iso
from shared.errors import Conflict, Permanent, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["LastRun", "Runs", "connect_runs"]

_PK: Final = "RECONCILE"
RUN_KEPT: Final = timedelta(days=7)


class LastRun(BaseModel):
    """Hold what the next run measures itself by, and where the last report is.

    `to_settle` says that repairs of it were asked for and not yet seen done.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    key: str
    finished_at: Instant
    listed: int = 0
    recorded: int = 0
    pages: int = 1
    doubted_since: Instant | None = None
    doubted_listed: int = 0
    to_settle: bool = False

    @property
    def counts(self) -> Counts:
        """Return what the next listing is measured by."""
        return Counts(self.listed, self.recorded, self.doubted_since, self.doubted_listed)


def connect_runs(table: Table, bucket: str) -> "Runs":
    """Return the store of runs, endpoint and credentials found as boto3 finds them."""
    config = Config(
        connect_timeout=2, read_timeout=20, retries={"mode": "standard", "max_attempts": 3}
    )
    return Runs(table, boto3.client("s3", config=config), bucket)


class Runs:
    """Keep runs of the reconciler. Every method raises `Transient` when AWS does not answer."""

    def __init__(self, table: Table, s3: "S3Client", bucket: str) -> None:
        self._table = table
        self._s3 = s3
        self._bucket = bucket

    def last(self) -> LastRun | None:
        """Return what the last whole pass left, or None before the first."""
        item = self._table.get(_PK, "LAST")
        return LastRun.model_validate(item) if item else None

    def finish(self, last: LastRun) -> None:
        """Write down how a whole pass ended."""
        self._table.write(Put({"pk": _PK, "sk": "LAST", **last.model_dump(exclude_none=True)}))

    def settled(self, run_id: str) -> None:
        """Write down that nothing of a run's repairs is to be seen to any more."""
        same = Condition("it is still the last run", "run_id = :id", values={":id": run_id})
        change = Update(
            {"pk": _PK, "sk": "LAST"},
            "SET to_settle = :no",
            values={":no": False},
            condition=same,
        )
        try:
            self._table.write(change)
        except Conflict:
            return  # a newer run looks after its own

    # Unfinished runs

    def leave(self, run_id: str, *, since: datetime, not_before: datetime) -> None:
        """Write down that a run goes on later, by whoever comes first."""
        item = {
            "pk": _PK,
            "sk": f"RUN#{run_id}",
            "not_before": iso(not_before),
            "expires_at": int((since + RUN_KEPT).timestamp()),
        }
        self._table.write(Put(item))

    def take_on(self, run_id: str, now: datetime, *, busy: timedelta) -> bool:
        """Take an unfinished run on; False when somebody else has it, or it is not its time yet."""
        free = Condition(
            "it is time, and nobody has it", "not_before <= :now", values={":now": iso(now)}
        )
        change = Update(
            {"pk": _PK, "sk": f"RUN#{run_id}"},
            "SET not_before = :until",
            values={":until": iso(now + busy)},
            condition=free,
        )
        try:
            self._table.write(change)
        except Conflict:
            return False
        return True

    def unfinished(self) -> Iterator[str]:
        """Yield the runs that go on later, the oldest first."""
        for item in self._table.query(_PK, prefix="RUN#"):
            yield str(item["sk"]).removeprefix("RUN#")

    def end(self, run_id: str) -> None:
        """Forget an unfinished run: it ended."""
        self._table.write(Delete({"pk": _PK, "sk": f"RUN#{run_id}"}))

    # What is in the bucket

    def keep(self, key: str, document: dict[str, Any]) -> None:
        """Store a document under `reports/`."""
        try:
            self._s3.put_object(
                Bucket=self._bucket,
                Key=f"reports/{key}",
                Body=json.dumps(document, separators=(",", ":")).encode(),
                ContentType="application/json",
            )
        except (ClientError, BotoCoreError) as error:
            raise Transient(f"the bucket takes no report: {type(error).__name__}") from error

    def read(self, key: str) -> dict[str, Any]:
        """Return a document that was stored.

        Raises:
            Permanent: it is not there any more: reports are kept for a while only.
        """
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"reports/{key}")
            document: dict[str, Any] = json.loads(answer["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise Permanent(f"the report {key} is gone: run `d1fleet reconcile`") from error
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        except BotoCoreError as error:
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        return document
