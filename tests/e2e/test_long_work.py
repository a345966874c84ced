"""The backup function in the stack: a backup while the app writes, and a restore of it."""

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.aws.backups import BackupStore
from shared.aws.items import Change, new_ulid
from shared.aws.queues import Queues
from shared.domain.backup import Backup, BackupReason, BackupStatus
from shared.domain.messages import Message
from shared.dumps import digest_of, load_sql
from tests.support.running import Running, wait_until

pytestmark = [pytest.mark.stack, pytest.mark.workerd]


def request(running: Running, tenant_id: str) -> Backup:
    """Ask for a backup of a live tenant's database, as an operator does."""
    tenant = running.tenant(tenant_id)
    assert tenant is not None
    now = datetime.now(UTC)
    times = {"created_at": now, "updated_at": now, "status_since": now}
    backup = Backup(
        backup_id=new_ulid(now),
        tenant_id=tenant_id,
        status=BackupStatus.WANTED,
        because=BackupReason.OPERATOR,
        database_ulid=tenant.database_ulid or "",
        **times,
    )
    running.state.commit(Change(None, backup))
    queues = running.description["aws"]["queues"]
    to = Queues(running.aws("sqs"), queues["work"], queues["bind"], queues["backup"])
    to.send([Message(kind="backup", id=backup.backup_id, trace="t")])
    return backup


def proven(running: Running, backup: Backup) -> Backup:
    """Return a backup's record once it is settled, which must be by a proof."""

    def settled() -> Backup | None:
        found = running.state.backup(backup.backup_id)
        return found if found is not None and found.settled else None

    found = wait_until("the backup is settled", settled)
    assert (found.status, found.reason) == (BackupStatus.PROVEN, None)
    return found


def test_a_backup_while_the_app_writes(running: Running, tmp_path: Path) -> None:
    """No write of the app fails, and what comes out are whole databases that SQLite opens."""
    running.sign_up("org_busy")
    running.wait_active("org_busy")
    running.write_note("org_busy", "before")
    done = threading.Event()
    written: list[int] = []

    def write() -> None:
        while not done.is_set():
            answer = running.http.post(running.notes_url("org_busy"), json={"text": "meanwhile"})
            written.append(answer.status_code)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup = proven(running, request(running, "org_busy"))
        running.cli("backup", "org_busy", "-o", str(tmp_path / "file.sqlite"))
    finally:
        done.set()
        writer.join()
    assert set(written) == {201}
    s3 = running.aws("s3")
    store = BackupStore(s3, running.description["aws"]["bucket"])
    pieces = store.read(backup.key, backup.version_id, sha256=backup.sha256)
    load_sql(pieces, tmp_path / "busy.sqlite", limits=True)
    assert digest_of(tmp_path / "busy.sqlite").rows == backup.rows
    with closing(sqlite3.connect(tmp_path / "file.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        notes = [text for (text,) in database.execute("SELECT text FROM notes ORDER BY id")]
    assert notes[0] == "before"
    assert set(notes[1:]) == {"meanwhile"}
