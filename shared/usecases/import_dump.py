"""Import a stored dump into a fresh D1 database, and prove that it is in there.

A database is only imported into when it is empty, and looked at first each time: an import whose
answer was lost may have committed, and doing it again would fail on what is there already.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from shared.aws.backups import BackupStore
from shared.cloudflare.d1 import D1
from shared.cloudflare.errors import SqlError, TransferFailed
from shared.cloudflare.models import ImportDone, ImportUpload, TransferUnderWay
from shared.domain.backup import Backup
from shared.domain.long_work import poll_pauses
from shared.dumps import Digest, NotRestorable, differences, digest_live
from shared.errors import Transient
from shared.settings import Settings
from shared.usecases.copy_database import permits_for
from shared.usecases.manifests import read_manifest
from shared.usecases.reach_database import Source

__all__ = ["ImportDump"]

_THINGS: Final = (
    r"SELECT count(*) FROM sqlite_schema WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'"
    r" AND name NOT LIKE '\_cf\_%' ESCAPE '\'"
)


@dataclass(frozen=True)
class ImportDump:
    """Import dumps. `pause` waits some seconds between the polls of an import."""

    settings: Settings
    store: BackupStore
    pause: Callable[[float], None]

    def __call__(self, source: Source, backup: Backup) -> Digest:
        """Bring a database to what a backup holds; return what it comes to, equal to the backup.

        Raises:
            Permanent: it holds something else, D1 refuses the dump, or the bucket no longer has it.
        """
        manifest = read_manifest(self.store, backup)
        if self._is_empty(source):
            try:
                self._import(source, backup)
            except (SqlError, TransferFailed):
                # It may be there by an earlier import that outlived whoever asked for it.
                if self._is_empty(source):
                    raise
        found = digest_live(source.live, full=manifest.full_rows)
        if said := differences(manifest.digest, found):
            raise NotRestorable(
                f"the fresh database {source.database.name} is not what the backup holds: "
                + "; ".join(said)
            )
        return found

    @staticmethod
    def _is_empty(source: Source) -> bool:
        ((count,),) = source.live.rows([_THINGS])[0]
        return bool(count == 0)

    def _import(self, source: Source, backup: Backup) -> None:
        """Have D1 import the dump, polled to its end.

        Raises:
            NoPermit: the permits for all of it are not to be had now; nothing was begun.
            NotAsStored: the dump in the bucket is damaged; D1 was not told to load it.
        """
        permits = permits_for(self.settings, source.lane, backup.size)
        d1 = source.api.reserve(permits).d1
        step = d1.import_init(source.uuid, backup.md5)
        if isinstance(step, ImportUpload):
            pieces = self.store.read(backup.key, backup.version_id, sha256=backup.sha256)
            source.cloudflare.put(step, pieces, size=backup.size, md5=backup.md5)
            step = d1.import_ingest(source.uuid, backup.md5, step.filename)
        self._polled(d1, source.uuid, step)

    def _polled(self, d1: D1, uuid: str, step: TransferUnderWay | ImportDone) -> None:
        for pause in poll_pauses():
            if isinstance(step, ImportDone):
                return
            self.pause(pause)
            step = d1.import_poll(uuid, step.at_bookmark)
        raise Transient("D1's import takes longer than an attempt has")
