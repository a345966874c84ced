"""Copy a live database into a file here, and say what it must come to: the first half of a backup.

D1's export where it may be used, queries in pages elsewhere, and wherever the export turns out not
to be what the database holds (it rounds integers above 2^53). Bookmarks tell whether somebody wrote
meanwhile.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from shared.cloudflare.errors import TransferFailed
from shared.cloudflare.models import ExportDone
from shared.domain.budget import BudgetLimits, Lane
from shared.domain.long_work import CopyMethod, choose_method, poll_pauses, polls_reserved
from shared.dumps import (
    Digest,
    NotRestorable,
    differences,
    digest_live,
    digest_of,
    load_sql,
    take_snapshot,
)
from shared.errors import Transient
from shared.settings import Settings
from shared.usecases.reach_database import Source

__all__ = ["Copy", "CopyDatabase", "StillWritten", "permits_for"]

TRIES: Final = 3
_WRITTEN: Final = "somebody writes to the database while it is copied"
_VIRTUAL: Final = "SELECT count(*) FROM sqlite_schema WHERE sql LIKE 'CREATE VIRTUAL TABLE%'"

log = logging.getLogger("d1fleet")


class StillWritten(Transient):
    """Say that somebody wrote to the database each time that it was copied."""


@dataclass(frozen=True)
class Copy:
    """A copy in a file, and what the live database came to.

    `bookmark` is Time Travel's of exactly this content, empty when that is not known.
    """

    path: Path
    reference: Digest
    bookmark: str
    method: str


@dataclass(frozen=True)
class CopyDatabase:
    """Copy databases. `pause` waits some seconds between the polls of an export."""

    settings: Settings
    pause: Callable[[float], None]

    def __call__(self, source: Source, folder: Path, *, block: bool, still: bool) -> Copy:
        """Copy a database into a file in `folder`.

        `block`: it may be kept from answering meanwhile. `still`: nobody writes any more, so that
        the copy is compared with a second reading, and whoever does write makes it worthless.

        Raises:
            StillWritten: somebody wrote each of three times.
            CannotDump: it holds something that no dump can bring back.
        """
        ((count,),) = source.live.rows([_VIRTUAL])[0]
        method = choose_method(block=block, bound=source.bound, virtual=count > 0)
        note = ""
        if method is CopyMethod.EXPORT:
            copy = self._exported(source, folder)
            if isinstance(copy, Copy):
                return copy
            note = f" ({copy})"
            log.warning("copied in pages: %s", copy, extra={"database": source.database.name})
        return self._snapshot(source, folder, still=still, note=note)

    # In pages, as queries

    def _snapshot(self, source: Source, folder: Path, *, still: bool, note: str) -> Copy:
        full, method = self.settings.proof_full_rows, f"{CopyMethod.SNAPSHOT}{note}"
        for number in range(TRIES):
            path = folder / f"snapshot-{number}.sqlite"
            before = source.bookmark
            with _unless_written(source, before):
                taken = take_snapshot(source.live, path)
                quiet = source.bookmark == before
                if still and quiet:
                    reference = digest_live(source.live, full=full)
                    if source.bookmark == before:
                        return Copy(path, reference, before, method)
                elif not still and (quiet or taken.consistent):
                    # What was read in one transaction is whole, whatever was written after it.
                    return Copy(path, digest_of(path, full=full), before if quiet else "", method)
            path.unlink(missing_ok=True)
        raise StillWritten(_WRITTEN)

    # D1's export

    def _exported(self, source: Source, folder: Path) -> Copy | str:
        """Return the copy, or why D1's export is none."""
        for number in range(TRIES):
            path = folder / f"export-{number}.sqlite"
            before = source.bookmark
            try:
                load_sql(source.cloudflare.fetch(self._export(source)), path, limits=False)
            except (TransferFailed, NotRestorable) as error:
                path.unlink(missing_ok=True)
                return error.reason
            with _unless_written(source, before):
                reference = digest_live(source.live, full=self.settings.proof_full_rows)
                if source.bookmark == before:
                    return self._compared(path, reference, before)
            path.unlink()
        raise StillWritten(_WRITTEN)

    def _compared(self, path: Path, reference: Digest, bookmark: str) -> Copy | str:
        said = differences(reference, digest_of(path, full=self.settings.proof_full_rows))
        if not said:
            return Copy(path, reference, bookmark, CopyMethod.EXPORT)
        path.unlink()
        return f"D1's export is not what the database holds: {said[0]}"

    def _export(self, source: Source) -> ExportDone:
        """Have D1 export a database, polled to its end: one that nobody polls is cancelled.

        Raises:
            NoPermit: the permits for all of it are not to be had now; nothing was begun.
            TransferFailed: D1 can't export it.
        """
        d1 = source.api.reserve(permits_for(self.settings, source.lane, source.size)).d1
        step = d1.export(source.uuid)
        for pause in poll_pauses():
            if isinstance(step, ExportDone):
                return step
            self.pause(pause)
            step = d1.export(source.uuid, step.at_bookmark)
        raise Transient("D1's export takes longer than an attempt has")


@contextmanager
def _unless_written(source: Source, before: str) -> Iterator[None]:
    """Let a reading fail that somebody wrote into: what it found did not fit together.

    Raises:
        Transient: it failed though nobody wrote.
    """
    try:
        yield
    except Transient as error:
        if source.bookmark == before:
            raise
        log.info("written to while it was read: %s", error)


def permits_for(settings: Settings, lane: Lane, size: int) -> int:
    """Return how many permits to take before a transfer, as far as the lane has so many."""
    limits = BudgetLimits.of(settings.api_limit, settings.api_window, settings.api_share)
    return min(polls_reserved(size), limits.most(lane))
