"""What lies beside a dump in the bucket: all that a restore compares with, readable by people.

It names no tenant: whoever finds it learns a database's name, its schema and its hashes.
"""

import secrets
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.aws.backups import BackupStore, NotAsStored
from shared.domain.backup import Backup
from shared.dumps import Digest

__all__ = ["Manifest", "dump_key", "keep_manifest", "read_manifest"]


class Manifest(BaseModel):
    """Hold what a dump is: `digest` was made of it with `full_rows`, and is to be compared so."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    v: Literal[1] = 1
    backup_id: str
    database: str
    made_at: datetime
    method: str
    bookmark: str
    size: int
    sha256: str
    md5: str
    full_rows: int
    digest: Digest


def dump_key(backup: Backup) -> str:
    """Return a new place in the bucket for a backup's dump, another one each time.

    An attempt that nobody waits for any more must not lay its dump over a proven one.
    """
    return f"backups/{backup.database_ulid}/{backup.backup_id}-{secrets.token_hex(4)}.sql"


def keep_manifest(store: BackupStore, key: str, manifest: Manifest) -> None:
    """Store the manifest of the dump at `key`."""
    store.keep_note(_beside(key), manifest.model_dump_json(indent=1))


def read_manifest(store: BackupStore, backup: Backup) -> Manifest:
    """Return the manifest of a proven backup.

    Raises:
        NotAsStored: it is not the one that was stored with it.
        BackupGone: it is no longer there.
    """
    try:
        manifest = Manifest.model_validate_json(store.note(_beside(backup.key)))
    except ValidationError as error:
        raise NotAsStored(f"the manifest of backup {backup.backup_id} can't be read") from error
    if manifest.digest.sha256 != backup.digest or manifest.sha256 != backup.sha256:
        raise NotAsStored(f"the manifest of backup {backup.backup_id} is another backup's")
    return manifest


def _beside(key: str) -> str:
    return f"{key.removesuffix('.sql')}.json"
