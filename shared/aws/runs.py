"""The reconciler's own records: what the last run counted, and where an unfinished one goes on.

::

    RECONCILE / LAST         what the last whole pass counted, and where its report is
    RECONCILE / RUN#<id>     a pass that is under way: from when on others may go on with it
    RECONCILE / SETTLE#<id>  a pass whose repairs were asked for and not yet seen done

What a run has seen so far, and its report, are in the bucket: both may be larger than an item.
"""

import json
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, ValidationError

from shared.aws.table import Condition, Delete, Put, Table, Update, Write
from shared.domain.drift.evidence import Counts
from shared.domain.lifecycle import Instant, iso
from shared.errors import Conflict, Permanent, Transient

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["LastRun", "Runs", "connect_runs"]

_PK: Final = "RECONCILE"
RUN_KEPT: Final = timedelta(days=7)

log = logging.getLogger("d1fleet")


class LastRun(BaseModel):
    """Hold what the next run measures itself by, and where the last report is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run_id: str
    key: str
    finished_at: Instant
    listed: int = 0
    recorded: int = 0
    pages: int = 1
    doubted_since: Instant | None = None
    doubted_listed: int = 0

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
        try:
            return LastRun.model_validate(item) if item else None
        except ValidationError:
            # Written by another version: the next pass measures itself by nothing, and goes on.
            log.exception("what the last pass counted can't be read any more")
            return None

    def finish(self, last: LastRun, *, began: datetime, repaired: bool) -> None:
        """Write down that a whole pass ended, and if it `repaired` that this is to be seen to.

        All at once: who is killed here either has to end it again, or is done. Of other passes'
        repairs only those are forgotten that ended before this one `began`: it looked at all that.
        """
        writes: list[Write] = [
            Put({"pk": _PK, "sk": "LAST", **last.model_dump(exclude_none=True)}),
            Delete(_key("RUN", last.run_id)),
        ]
        if repaired:
            ended = {"ended_at": iso(last.finished_at), "expires_at": _expiry(last.finished_at)}
            writes.append(Put({**_key("SETTLE", last.run_id), **ended}))
        self._table.transact(writes)
        for item in list(self._table.query(_PK, prefix="SETTLE#")):
            if str(item["ended_at"]) < iso(began):
                self.settled(str(item["sk"]).removeprefix("SETTLE#"))

    def to_settle(self) -> Iterator[str]:
        """Yield the passes whose repairs are to be seen to, the oldest first."""
        for item in self._table.query(_PK, prefix="SETTLE#"):
            yield str(item["sk"]).removeprefix("SETTLE#")

    def settled(self, run_id: str) -> None:
        """Write down that nothing of a pass's repairs is to be seen to any more."""
        self._table.write(Delete(_key("SETTLE", run_id)))

    # Passes under way

    def leave(self, run_id: str, *, since: datetime, not_before: datetime) -> None:
        """Write down that a run goes on from a moment on, by whoever comes first."""
        times = {"not_before": iso(not_before), "expires_at": _expiry(since)}
        self._table.write(Put({**_key("RUN", run_id), **times}))

    def take_on(self, run_id: str, now: datetime, *, busy: timedelta) -> bool:
        """Take an unfinished run on; False when somebody else has it, or it is not its time yet."""
        free = Condition(
            "it is time, and nobody has it", "not_before <= :now", values={":now": iso(now)}
        )
        change = Update(
            _key("RUN", run_id),
            "SET not_before = :until",
            values={":until": iso(now + busy)},
            condition=free,
        )
        try:
            self._table.write(change)
        except Conflict:
            return False
        return True

    def is_under_way(self, run_id: str) -> bool:
        """Say whether a run has not ended, and was not given up."""
        return self._table.get(_PK, f"RUN#{run_id}") is not None

    def unfinished(self) -> Iterator[str]:
        """Yield the runs that have not ended, the oldest first."""
        for item in self._table.query(_PK, prefix="RUN#"):
            yield str(item["sk"]).removeprefix("RUN#")

    def end(self, run_id: str) -> None:
        """Forget an unfinished run: it ended, or nobody can go on with it."""
        self._table.write(Delete(_key("RUN", run_id)))

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
            Permanent: it is not there any more, for reports are kept for a while only; or it is
                no document.
        """
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=f"reports/{key}")
            document = json.loads(answer["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                raise Permanent(f"the report {key} is gone: run `d1fleet reconcile`") from error
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        except BotoCoreError as error:
            raise Transient(f"the bucket does not answer: {type(error).__name__}") from error
        except ValueError as error:
            raise Permanent(f"the report {key} is no JSON: run `d1fleet reconcile`") from error
        if not isinstance(document, dict):
            raise Permanent(f"the report {key} is no object: run `d1fleet reconcile`")
        return document


def _key(what: str, run_id: str) -> dict[str, str]:
    return {"pk": _PK, "sk": f"{what}#{run_id}"}


def _expiry(since: datetime) -> int:
    return int((since + RUN_KEPT).timestamp())
