"""The backup queue: long work, one backup or restore at a time, for up to 15 minutes each."""

import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from shared.aws.backups import BackupStore, connect_backups
from shared.doors import handle, message_of, work_through
from shared.observability import Meter, make_logger
from shared.usecases.make_backup import MakeBackup
from shared.usecases.restore_backup import RestoreBackup
from shared.wiring import Parts, build

__all__ = ["handler"]

logger = make_logger("backup")


@cache
def _parts() -> Parts:
    return build("backup")


@cache
def _store() -> BackupStore:
    return connect_backups(_parts().settings.bucket_name)


def _work(record: SQSRecord) -> None:
    parts, store = _parts(), _store()
    folder = Path(tempfile.gettempdir())
    # The one function that may sleep: an export or import is cancelled when nobody polls it.
    handle(
        parts.control,
        Meter("backup"),
        {
            "backup": MakeBackup(parts.control, parts.outside, store, folder, time.sleep),
            "restore": RestoreBackup(parts.control, parts.outside, store, folder, time.sleep),
        },
        message_of(record),
    )


def handler(event: dict[str, Any], context: LambdaContext) -> Any:
    """Do the long work that a message names; a crash leaves the message to come back."""
    _parts()  # what is missing or wrong in the settings fails the call, in one line
    return work_through(event, context, _work, logger=logger, meter=Meter("backup"))
