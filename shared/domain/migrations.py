"""Migration files as wrangler has them, and the set of them that a fleet is at.

Pure: the operators' side hands in names and bytes, the functions get statements. A file's checksum
is taken after its line ends were made LF and a byte order mark removed, so that the same file
checked out on Windows is the same file.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from shared.domain.lifecycle import Instant
from shared.domain.sql import Incomplete, Statement, split
from shared.errors import Permanent

__all__ = [
    "LEDGER",
    "BadMigrations",
    "Comparison",
    "FileEntry",
    "Finding",
    "Head",
    "Migration",
    "MigrationFile",
    "compare",
    "normalised",
    "order",
    "read_migration",
]

LEDGER = "d1_migrations"
"""The table in each database that says which files it has: wrangler's, to the letter."""

Severity: TypeAlias = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """Say what is wrong with a migration file, where, and what to do about it."""

    severity: Severity
    file: str
    line: int
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class BadMigrations(Permanent):
    """Refuse a set of migration files; `findings` holds every reason, `reason` the first."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        errors = [finding for finding in findings if finding.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")
        self.findings = findings


@dataclass(frozen=True)
class Migration:
    """Hold one file: its name relative to the folder, its text with LF, its statements in order.

    `rest` is what follows the last whole statement, when there is something.
    """

    name: str
    text: str
    statements: tuple[Statement, ...]
    rest: Incomplete | None = None

    @property
    def data(self) -> bytes:
        """Return the bytes that are stored."""
        return self.text.encode()

    @property
    def sha256(self) -> str:
        """Return the checksum of the stored bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()


@dataclass(frozen=True)
class MigrationFile:
    """Hold one file as a database gets it: each statement complete, comments between them gone.

    `lines` says where each statement begins in the file, counted from 1.
    """

    name: str
    sha256: str
    statements: tuple[str, ...]
    lines: tuple[int, ...] = ()


class FileEntry(BaseModel):
    """Hold what the head says of one file. `size` is in bytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    statements: int
    size: int
    pushed_at: Instant
    pushed_by: str


class Head(BaseModel):
    """Hold the set of migrations that every database of the fleet should have, in order.

    `version` grows by one with every push that changed something.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: Annotated[int, Field(ge=1)]
    files: tuple[FileEntry, ...]
    schema_version: str
    pushed_at: Instant
    pushed_by: str


_NUMBER = re.compile(r"\d+", re.ASCII)


def _segment(segment: str) -> tuple[bool, int, str]:
    found = _NUMBER.match(segment)
    return found is None, int(found.group()) if found else 0, segment


def order(name: str) -> tuple[tuple[bool, int, str], ...]:
    """Return the key by which wrangler sorts migration files.

    Segment by segment: by leading number, numbered before unnumbered, then by text.
    """
    return tuple(_segment(segment) for segment in name.split("/"))


def leading_numbers(name: str) -> tuple[int | None, ...]:
    """Return the leading number of each segment of a name, None where there is none."""
    return tuple(None if without else number for without, number, _ in order(name))


def normalised(text: str) -> str:
    """Return SQL with LF and no byte order mark: CRLF in a trigger breaks D1's own splitter."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def read_migration(name: str, text: str) -> Migration:
    """Return a file's migration: line ends made LF, split into statements as SQLite does."""
    text = normalised(text)
    statements, rest = split(text)
    return Migration(name, text, statements, rest)


@dataclass(frozen=True)
class Comparison:
    """Say how a folder differs from the head: what is new, and what history it would rewrite.

    `kept` are the names at the start of the head that the folder has unchanged; every finding is
    about a file after them.
    """

    kept: tuple[str, ...]
    new: tuple[Migration, ...]
    findings: tuple[Finding, ...]


def compare(head: Head | None, migrations: tuple[Migration, ...]) -> Comparison:
    """Compare a folder's migrations, in order, with the head.

    New files may only follow the head's last one; everything else would rewrite what databases
    already have: an edited file, one that is gone or renamed, one that sorts before the head.
    """
    entries: tuple[FileEntry, ...] = head.files if head else ()
    by_name = {migration.name: migration for migration in migrations}
    stored = {entry.name: entry for entry in entries}
    findings = [
        *_edited(entries, by_name),
        *_missing(entries, migrations, stored),
        *_too_early(entries, migrations, stored),
    ]
    kept: list[str] = []
    for entry, migration in zip(entries, migrations, strict=False):
        if (entry.name, entry.sha256) != (migration.name, migration.sha256):
            break
        kept.append(entry.name)
    return Comparison(tuple(kept), migrations[len(kept) :], tuple(findings))


def _edited(entries: tuple[FileEntry, ...], by_name: Mapping[str, Migration]) -> list[Finding]:
    advice = "put it back as it was pushed and say the change in a new file"
    return [
        Finding("error", entry.name, 0, f"was edited after it was pushed: {advice}")
        for entry in entries
        if entry.name in by_name and by_name[entry.name].sha256 != entry.sha256
    ]


def _missing(
    entries: tuple[FileEntry, ...],
    migrations: tuple[Migration, ...],
    stored: Mapping[str, FileEntry],
) -> list[Finding]:
    names = {migration.name for migration in migrations}
    strangers = {m.sha256: m.name for m in migrations if m.name not in stored}
    findings = []
    for entry in entries:
        if entry.name in names:
            continue
        if entry.sha256 in strangers:
            new_name = strangers[entry.sha256]
            what = f"was renamed to {new_name} after it was pushed: rename it back"
        else:
            what = "was pushed and is not in the folder: put it back, or push from the right folder"
        findings.append(Finding("error", entry.name, 0, what))
    return findings


def _too_early(
    entries: tuple[FileEntry, ...],
    migrations: tuple[Migration, ...],
    stored: Mapping[str, FileEntry],
) -> list[Finding]:
    if not entries:
        return []
    last = entries[-1].name
    names = {migration.name for migration in migrations}
    renamed = {entry.sha256 for entry in entries if entry.name not in names}
    return [
        Finding(
            "error",
            migration.name,
            0,
            f"sorts before {last}, which was pushed already: give it a higher number",
        )
        for migration in migrations
        if migration.name not in stored
        and migration.sha256 not in renamed  # said already
        and order(migration.name) < order(last)
    ]
