"""Push a folder of migrations: checked, stored for good, and made the fleet's head.

Called by `d1fleet migrations push` and by the local stack. Files that a database may have can't be
rewritten; files that none has applied (a broken one, found by D1 alone) can be mended in place.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, Protocol

from shared.domain.migration_lint import lint, read_migrations, try_out
from shared.domain.migrations import (
    BadMigrations,
    Comparison,
    FileEntry,
    Finding,
    Head,
    Migration,
    compare,
)
from shared.errors import Conflict, Permanent, Transient

__all__ = ["Pushed", "push_migrations", "read_folder"]

_TRIES: Final = 5


class Migrations(Protocol):
    """Keep texts for good, and one head."""

    def head(self) -> Head | None:
        """Return the head, or None."""

    def keep(self, migration: Migration) -> None:
        """Store a text for good."""

    def move_head(self, before: Head | None, after: Head) -> None:
        """Make `after` the head if it still is `before`, else raise `Conflict`."""


@dataclass(frozen=True)
class Pushed:
    """Say what a push did.

    `new` are the names that were not in the head; `replaced` those whose text was another, and
    `removed` those that are gone: no database had them. `warnings` refuse nothing.
    """

    head: Head
    new: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def changed(self) -> bool:
        """Say whether the head moved."""
        return bool(self.new or self.replaced or self.removed)


def read_folder(folder: Path, pattern: str = "*.sql") -> dict[str, bytes]:
    """Return the files of a migrations folder as `push_migrations` wants them.

    `pattern` is relative to the folder; the default is wrangler's, `*/migration.sql` is Drizzle's.

    Raises:
        Permanent: there is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        raise Permanent(f"{folder} is not a folder: name the one that holds the .sql files")
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    }
    if not files:
        nested = any(folder.glob("*/*.sql"))
        advice = "; for one folder a migration, give --pattern '*/*.sql'" if nested else ""
        raise Permanent(f"{folder} has no file that matches {pattern}{advice}")
    return files


def push_migrations(
    store: Migrations,
    files: Mapping[str, str | bytes],
    *,
    now: Callable[[], datetime],
    pushed_by: str,
    trial: bool = True,
    applied: Callable[[Head], frozenset[str]] | None = None,
) -> Pushed:
    """Check the files, store them, and make them the head. Pushing the same again does nothing.

    `trial` runs them in memory as well. `applied` returns the names that any database may have; it
    is asked only when a push would rewrite what was pushed. Without it that is always refused.

    Raises:
        BadMigrations: with every reason; nothing was changed.
        Permanent: there is no file.
        Transient: AWS does not answer, or others pushed each time.
    """
    if not files:
        raise Permanent("there is no migration file to push")
    migrations, findings = read_migrations(files)
    findings += lint(migrations)
    if trial:
        findings += try_out(migrations)
    _refuse(findings)
    for _ in range(_TRIES):
        head = store.head()
        comparison = compare(head, migrations)
        if head is not None and comparison.findings:
            _refuse_rewriting(head, comparison, applied)
        for migration in migrations:
            store.keep(migration)
        after = _next_head(head, comparison, migrations, now(), pushed_by)
        if head is not None and after.files == head.files:
            return Pushed(head, warnings=findings)
        try:
            store.move_head(head, after)
        except Conflict:
            continue
        return _pushed(head, after, findings)
    raise Transient("others push migrations at the same time: try again", retry_after=1)


def _pushed(before: Head | None, after: Head, warnings: tuple[Finding, ...]) -> Pushed:
    old = {entry.name: entry.sha256 for entry in before.files} if before else {}
    new = {entry.name: entry.sha256 for entry in after.files}
    return Pushed(
        after,
        new=tuple(name for name in new if name not in old),
        replaced=tuple(name for name in new if name in old and new[name] != old[name]),
        removed=tuple(name for name in old if name not in new),
        warnings=warnings,
    )


def _refuse(findings: tuple[Finding, ...]) -> None:
    if any(finding.severity == "error" for finding in findings):
        raise BadMigrations(findings)


def _refuse_rewriting(
    head: Head, comparison: Comparison, applied: Callable[[Head], frozenset[str]] | None
) -> None:
    """Refuse to rewrite what a database has; let pass what none has."""
    if applied is None or applied(head) - {*comparison.kept}:
        raise BadMigrations(comparison.findings)


def _next_head(
    head: Head | None,
    comparison: Comparison,
    migrations: tuple[Migration, ...],
    now: datetime,
    pushed_by: str,
) -> Head:
    kept = head.files[: len(comparison.kept)] if head else ()
    new = tuple(
        FileEntry(
            name=migration.name,
            sha256=migration.sha256,
            statements=len(migration.statements),
            size=len(migration.data),
            pushed_at=now,
            pushed_by=pushed_by,
        )
        for migration in comparison.new
    )
    return Head(
        version=head.version + 1 if head else 1,
        files=(*kept, *new),
        schema_version=migrations[-1].name,
        pushed_at=now,
        pushed_by=pushed_by,
    )
