"""Make a backup and prove that it restores. Called for every message about a backup.

::

    pre-flight ─▶ copy (export or pages) ─▶ dump ─▶ bucket ─▶ read back from the bucket
                                                                    │
     proven ◀─ bookmark the same ◀─ equal to the live one ◀─ loaded into a fresh SQLite

What is proven is what lies in the bucket: that very version is read back and loaded under D1's own
limits. Anything that stays in the way ends as refused, with one alert; nothing here deletes.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from shared.aws.backups import BackupStore, Stored
from shared.aws.items import Change, backup_of
from shared.domain.backup import Backup, BackupStatus
from shared.domain.budget import Lane
from shared.domain.database import Database, DatabaseStatus
from shared.domain.long_work import MOST_IMPORTED
from shared.domain.messages import Message
from shared.domain.outcomes import Done, GaveUp, Outcome
from shared.domain.tenant import TenantStatus
from shared.dumps import (
    CannotDump,
    Digest,
    NotRestorable,
    check_integrity,
    differences,
    digest_of,
    load_sql,
    write_dump,
)
from shared.errors import Permanent
from shared.usecases.alerts import alert_put
from shared.usecases.context import Control, enqueue_quietly
from shared.usecases.copy_database import Copy, CopyDatabase, StillWritten
from shared.usecases.long_attempts import long_attempt
from shared.usecases.manifests import Manifest, dump_key, keep_manifest
from shared.usecases.outside import Outside
from shared.usecases.reach_database import Source, reach
from shared.usecases.scratch import scratch
from shared.usecases.tell import tell_now

__all__ = ["MakeBackup"]

MOST_MOVES: Final = 10
"""Failed attempts in a row after which somebody who still writes is a person's matter."""
_HOLDS_NOTHING: Final = frozenset(
    {DatabaseStatus.CREATING, DatabaseStatus.IMPORTING, DatabaseStatus.DELETED}
)

log = logging.getLogger("d1fleet")


@dataclass(frozen=True)
class MakeBackup:
    """Make backups. Work files lie in `folder`; `pause` waits between the polls of an export."""

    control: Control
    outside: Outside
    store: BackupStore
    folder: Path
    pause: Callable[[float], None]

    def __call__(self, message: Message) -> Outcome:
        """Make and prove the backup that a message names."""
        return long_attempt(
            self.control,
            message,
            read=backup_of,
            work=self._make,
            refuse=self._refuse,
            tell=self._tell,
        )

    def _make(self, backup: Backup, trace: str) -> Outcome:
        if self._is_over(backup):
            return self._let_go(backup, trace)
        source = self._preflight(backup)
        closing = backup.closing_id is not None
        with scratch(self.folder) as folder:
            try:
                copy = CopyDatabase(self.control.settings, self.pause)(
                    source, folder, block=backup.block, still=closing
                )
            except StillWritten as error:
                raise self._stop_if_hopeless(backup, error) from error
            stored, digest = self._prove(backup, copy, folder)
        self._still_the_same(backup, source, copy)
        self._keep(backup, source.database, copy, stored, digest, trace)
        self._tell(backup, trace)
        return Done()

    # Before anything is read

    def _is_over(self, backup: Backup) -> bool:
        """Say whether the closing that asked for the backup wants it no more.

        An export for it would keep a database from answering that its tenant uses again.
        """
        if backup.closing_id is None:
            return False
        tenant = self.control.state.tenant(backup.tenant_id)
        if tenant is None or tenant.closing_id != backup.closing_id:
            return True
        closing = tenant.status is TenantStatus.CLOSING
        return not closing or tenant.without_backup or tenant.past_no_return

    def _let_go(self, backup: Backup, trace: str) -> Outcome:
        """Write down that nobody wants the backup any more; that is no trouble of anybody's."""
        reason = "the closing that it was for wants no backup any more"
        refused = backup.moved(BackupStatus.REFUSED, self.control.now(), reason=reason)
        line = self.control.line("not wanted any more", why=reason, trace=trace)
        self.control.state.commit(Change(backup, refused, line))
        return Done()

    def _preflight(self, backup: Backup) -> Source:
        """See that everything that a backup needs is there and is ours.

        Raises:
            Permanent: something is not; the reason says what to do.
        """
        self.control.fleet.get()
        database = self.control.state.database(backup.database_ulid)
        if database is None or database.status in _HOLDS_NOTHING:
            raise Permanent("there is no such database any more, or not yet: nothing to back up")
        if database.owner != backup.tenant_id:
            raise Permanent(f"the database {database.name} is not this tenant's")
        self.store.check()
        lane = Lane.REPAIR if backup.closing_id is None else Lane.TEARDOWN
        return reach(self.control, self.outside, database, lane, self.pause)

    @staticmethod
    def _stop_if_hopeless(backup: Backup, error: StillWritten) -> Exception:
        if backup.closing_id is None and not backup.block:
            return Permanent(
                f"{error}, three times: back it up with --block, which keeps it from answering for "
                "a moment"
            )
        if backup.closing_id is None:
            return Permanent(f"{error}, three times: suspend the tenant, back it up, and resume it")
        if backup.failures >= MOST_MOVES:
            return Permanent(
                f"{error}, although access was cut: find out who else has its binding or the API "
                "token"
            )
        return error

    # The proof

    def _prove(self, backup: Backup, copy: Copy, folder: Path) -> tuple[Stored, Digest]:
        """Store the copy as a dump, read it back from the bucket and load it.

        Raises:
            Permanent: it does not bring back what the live database holds.
        """
        stored = self.store.keep(dump_key(backup), _importable(write_dump(copy.path)))
        copy.path.unlink()  # the disk holds one copy of a large database, not two
        restored = folder / "restored.sqlite"
        pieces = self.store.read(stored.key, stored.version_id, sha256=stored.sha256)
        load_sql(pieces, restored, limits=True)
        check_integrity(restored)
        digest = digest_of(restored, full=self.control.settings.proof_full_rows)
        if said := differences(copy.reference, digest):
            raise NotRestorable(f"the backup is not what the database holds: {'; '.join(said)}")
        return stored, digest

    def _still_the_same(self, backup: Backup, source: Source, copy: Copy) -> None:
        if backup.closing_id is not None and source.bookmark != copy.bookmark:
            error = StillWritten("somebody wrote to the database while its backup was proven")
            raise self._stop_if_hopeless(backup, error)

    def _keep(
        self,
        backup: Backup,
        database: Database,
        copy: Copy,
        stored: Stored,
        digest: Digest,
        trace: str,
    ) -> None:
        """Write down that the backup is proven."""
        control, now = self.control, self.control.now()
        manifest = Manifest(
            backup_id=backup.backup_id,
            database=database.name,
            made_at=now,
            method=copy.method,
            bookmark=copy.bookmark,
            size=stored.size,
            sha256=stored.sha256,
            md5=stored.md5,
            full_rows=control.settings.proof_full_rows,
            digest=digest,
        )
        keep_manifest(self.store, stored.key, manifest)
        after = backup.moved(
            BackupStatus.PROVEN,
            now,
            reason=None,
            method=copy.method,
            key=stored.key,
            version_id=stored.version_id,
            size=stored.size,
            sha256=stored.sha256,
            md5=stored.md5,
            digest=digest.sha256,
            bookmark=copy.bookmark,
            tables=len(digest.tables),
            rows=digest.rows,
            proven_at=now,
            keep_until=now + timedelta(days=control.settings.backup_retention_days),
        )
        line = control.line("proven", why=f"{digest.rows} rows, by {copy.method}", trace=trace)
        control.state.commit(Change(backup, after, line))
        log.info("backup proven", extra={"backup": backup.backup_id, "bytes": stored.size})

    # Ends

    def _refuse(self, backup: Backup, reason: str, trace: str) -> Outcome:
        if self._is_over(backup):
            return self._let_go(backup, trace)
        control, now = self.control, self.control.now()
        alert = alert_put(
            now,
            kind="backup_refused",
            severity="error",
            subject=backup.database_ulid,
            summary=f"backup {backup.backup_id} of a tenant's database is refused: {reason}",
            tenant_id=backup.tenant_id,
        )
        line = control.line("refused", why=reason, trace=trace)
        after = backup.moved(BackupStatus.REFUSED, now, reason=reason)
        control.state.commit(Change(backup, after, line), also=[alert])
        tell_now(control, alert)
        self._tell(backup, trace)
        return GaveUp(reason)

    def _tell(self, backup: Backup, trace: str) -> None:
        """Wake the tenant: its closing waits for this."""
        enqueue_quietly(self.control, "tenant", backup.tenant_id, trace=trace)


def _importable(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass a dump on as long as D1's import can take it."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > MOST_IMPORTED:
            raise CannotDump(
                "the dump has more than 5 GB, and D1's import takes no larger one: take the data "
                "out by hand, then close the tenant with --without-backup"
            )
        yield piece
