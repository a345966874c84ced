"""What a database's schema and content come to, the same way for a live one and for a file.

Tables are hashed over the wire form of their rows, in the order of their keys. Of a table with
more rows than one wants to read, the first and the last ones are, and some at evenly spaced keys;
both sides choose the same ones, because they choose by the same keys.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from shared.dumps.models import Digest, Live, Sample, TableDigest, Value
from shared.dumps.questions import Budget, from_first_key
from shared.dumps.reading import Estimate, Reader, Row
from shared.dumps.schema import Role, Table
from shared.dumps.sqlite import Local, opened
from shared.dumps.values import decode, hashed_form, literal

__all__ = ["FULL", "digest_live", "digest_of"]

FULL: Final = 200_000
_ENDS: Final = Budget(rows=1_000, size=1_000_000)
_PROBES: Final = 200
_PROBE: Final = Budget(rows=5, size=50_000)
_PROBES_A_CALL: Final = 20
_FRACTION: Final = 8
"""Bytes of a text or blob that say where between two others it lies."""


def digest_of(path: Path, *, full: int = FULL) -> Digest:
    """Return what a SQLite file comes to; tables of more than `full` rows are sampled.

    Raises:
        CannotDump: there is something in it that can't be read.
        NotRestorable: it is no SQLite file, or a damaged one.
    """
    with opened(path) as connection:
        return digest_live(Local(connection), full=full)


def digest_live(live: Live, *, full: int = FULL) -> Digest:
    """Return what a live database comes to; tables of more than `full` rows are sampled.

    It is read in several transactions: compare bookmarks from before and after.

    Raises:
        CannotDump: there is something in it that can't be read.
        Transient: it was changed while a long value was read; and whatever `live` raises.
    """
    reader = Reader(live)
    estimates = reader.estimates(full + 1)
    tables = reader.schema.tables
    sequences: list[tuple[str, str]] = []
    found = [_sampled(reader, table) for table in tables if estimates[table.name].more]
    whole = [table for table in tables if not estimates[table.name].more]
    for table, count, hashed in _hashes(reader, whole, estimates, sequences):
        if table.role is not Role.SEQUENCES:
            found.append(TableDigest(name=table.name, rows=count, hash=hashed))
    return Digest(
        entries=tuple(sorted(reader.schema.entries, key=lambda e: (e.type, e.name))),
        tables=tuple(sorted(found, key=lambda table: table.name)),
        sequences=tuple(sorted(sequences)),
    )


def _hashes(
    reader: Reader,
    tables: Sequence[Table],
    estimates: Mapping[str, Estimate],
    sequences: list[tuple[str, str]],
) -> Iterator[tuple[Table, int, str]]:
    """Yield each table with the number of its rows and their hash; note the sequences' values."""
    current: Table | None = None
    count, hashing = 0, _Hash()
    for table, page in reader.all_rows(tables, estimates):
        if current is not None and table is not current:
            yield current, count, hashing.hexdigest()
            count, hashing = 0, _Hash()
        current = table
        count += len(page)
        hashing.update(table, page)
        if table.role is Role.SEQUENCES:
            sequences += [(str(decode(name)), literal(decode(seq))) for _, name, seq in page]
    if current is not None:
        yield current, count, hashing.hexdigest()


class _Hash:
    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def update(self, table: Table, rows: Sequence[Row]) -> None:
        start = table.content_from
        for row in rows:
            self._sha256.update(b"".join([*map(hashed_form, row[start:]), b"\n"]))

    def hexdigest(self) -> str:
        return self._sha256.hexdigest()


def _sampled(reader: Reader, table: Table) -> TableDigest:
    ends = _Hash()
    (first,) = reader.pages(table, [""], _ENDS)
    (last,) = reader.pages(table, [""], _ENDS, backwards=True)
    ends.update(table, first)
    ends.update(table, last)
    at = table.key_at[0]
    between = _Hash()
    probes = spaced(decode(first[0][at]), decode(last[0][at]), _PROBES)
    for start in range(0, len(probes), _PROBES_A_CALL):
        conditions = [from_first_key(table, v) for v in probes[start : start + _PROBES_A_CALL]]
        for page in reader.pages(table, conditions, _PROBE):
            between.update(table, page)
    marks = [hashlib.sha256(hashed_form(page[0][at])).hexdigest()[:16] for page in (first, last)]
    return TableDigest(
        name=table.name,
        rows=reader.count(table),
        hash=ends.hexdigest(),
        sample=Sample(
            first=marks[0], last=marks[1], hash=between.hexdigest(), lasting=table.numbers_count
        ),
    )


def spaced(first: Value, last: Value, number: int) -> list[Value]:
    """Return evenly spaced values between two keys, or none if there is no telling what is between.

    Texts and blobs are spaced by the bytes that follow what both have in common.
    """
    match first, last:
        case int(), int():
            return [first + (last - first) * n // number for n in range(1, number)]
        case str(), str():
            one, other = (text.encode("utf-8", "surrogateescape") for text in (first, last))
            return [
                part.decode("utf-8", "surrogateescape") for part in _between(one, other, number)
            ]
        case bytes(), bytes():
            return [*_between(first, last, number)]
        case _:
            return []


def _between(first: bytes, last: bytes, number: int) -> Iterator[bytes]:
    common = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    low, high = (
        int.from_bytes(text[common : common + _FRACTION].ljust(_FRACTION, b"\0"), "big")
        for text in (first, last)
    )
    for n in range(1, number):
        yield first[:common] + (low + (high - low) * n // number).to_bytes(_FRACTION, "big")
