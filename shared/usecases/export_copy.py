"""Copy a tenant's live database into a file on the operator's machine. Called by the CLI."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw

from shared.domain.budget import Lane
from shared.domain.database import Database
from shared.dumps import check_integrity, write_dump
from shared.errors import Permanent
from shared.usecases.context import Control
from shared.usecases.copy_database import Copy, CopyDatabase, StillWritten
from shared.usecases.outside import Outside
from shared.usecases.overviews import show_tenant
from shared.usecases.owned_databases import owned_database
from shared.usecases.reach_database import reach

__all__ = ["ExportCopy", "Exported"]

_SQL: Final = ".sql"


@dataclass(frozen=True)
class Exported:
    """Say what was written: `size` in bytes, `rows` and `tables` of the database."""

    path: Path
    size: int
    rows: int
    tables: int
    method: str


@dataclass(frozen=True)
class ExportCopy:
    """Copy databases into files. `pause` waits between the polls of an export."""

    control: Control
    outside: Outside
    pause: Callable[[float], None]

    def __call__(
        self, tenant_id: str, path: Path, *, name: str | None, block: bool, overwrite: bool
    ) -> Exported:
        """Write a tenant's database as SQL if the file is called so, else as a SQLite file.

        It is the tenant's own, or the one of that `name` on D1. The file is there whole or not at
        all, readable by its owner alone. Unless `block` is set the app's queries go on meanwhile.

        Raises:
            Permanent: there is nothing to copy, the file is there, somebody writes all the time.
            Transient: D1, the router or the table does not answer.
        """
        if path.exists() and not overwrite:
            raise Permanent(f"{path} is there already: --force replaces it")
        database = self._database(tenant_id, name)
        source = reach(self.control, self.outside, database, Lane.REPAIR, self.pause)
        copying = CopyDatabase(self.control.settings, self.pause)
        # Beside the file it becomes, so that it can take its place at once.
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=_folder(path)) as folder:
            try:
                copy = copying(source, Path(folder), block=block, still=False)
                check_integrity(copy.path)
                made = _as_sql(copy, Path(folder)) if path.suffix == _SQL else copy.path
                _put(made, path, overwrite=overwrite)
            except StillWritten as error:
                raise Permanent(
                    f"{error}, three times: --block keeps the database from answering meanwhile"
                    if not block
                    else f"{error}, three times: suspend the tenant, copy it, and resume it"
                ) from error
            except (OSError, apsw.FullError) as error:
                raise Permanent(f"{path} can't be written: {error}") from error
        digest = copy.reference
        size = path.stat().st_size
        return Exported(path, size, digest.rows, len(digest.tables), copy.method)

    def _database(self, tenant_id: str, name: str | None) -> Database:
        if name is not None:
            return owned_database(self.control, tenant_id, name)
        view = show_tenant(self.control, tenant_id)
        if view.database is None:
            raise Permanent(f"{tenant_id} is {view.tenant.status} and has no database")
        return view.database


def _folder(path: Path) -> Path:
    folder = path.resolve().parent
    if not folder.is_dir():
        raise Permanent(f"there is no folder {folder}")
    return folder


def _as_sql(copy: Copy, folder: Path) -> Path:
    made = folder / f"dump{_SQL}"
    with made.open("wb") as file:
        for piece in write_dump(copy.path):
            file.write(piece)
    return made


def _put(made: Path, path: Path, *, overwrite: bool) -> None:
    """Put a finished file where it belongs, in one step."""
    made.chmod(0o600)
    with made.open("rb") as file:
        os.fsync(file.fileno())
    if overwrite:
        made.replace(path)
    else:
        # Unlike a rename it fails if somebody made the file meanwhile.
        os.link(made, path)
