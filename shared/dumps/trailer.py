"""The first and the last line of a dump, by which a loss or a change on the way shows."""

import hashlib
import re
from typing import Final

from shared.dumps.errors import NotRestorable

__all__ = ["HEADER", "Seal", "trailer"]

HEADER: Final = b"-- d1fleet dump 1\n"
_LAST_LINE: Final = re.compile(rb"-- end ([0-9]{1,18}) ([0-9a-f]{64})\n")
_MEANT_AS_ONE: Final = re.compile(rb"-- end [0-9]+ [0-9a-f]{8}")
_LONGEST: Final = 128


def trailer(statements: int, sha256: str) -> bytes:
    """Return the last line of a dump; `sha256` is of everything before it, in hex."""
    return f"-- end {statements} {sha256}\n".encode()


class Seal:
    """Watch a dump go by, and judge at its end whether it is whole.

    A dump that neither begins nor ends as ours do, such as an export of D1's, bears no seal: then
    only the digest of what it restores to can tell.
    """

    def __init__(self) -> None:
        self._before = hashlib.sha256()
        self._tail = b""
        self._beginning = b""

    def saw(self, chunk: bytes) -> None:
        """Take the next chunk."""
        if len(self._beginning) < len(HEADER):
            self._beginning = (self._beginning + chunk)[: len(HEADER)]
        together = self._tail + chunk
        cut = max(0, len(together) - _LONGEST)
        self._before.update(together[:cut])
        self._tail = together[cut:]

    def check(self, statements: int) -> None:
        """Compare what went by with what the last line says.

        Raises:
            NotRestorable: the dump is ours, and not as it was written.
        """
        start = self._tail.rstrip(b"\n").rfind(b"\n") + 1
        last = _LAST_LINE.fullmatch(self._tail, start)
        if last is None:
            if self._beginning == HEADER or _MEANT_AS_ONE.match(self._tail, start):
                raise NotRestorable("the dump has no end: its last line is missing or changed")
            return
        self._before.update(self._tail[:start])
        if self._before.hexdigest() != last[2].decode():
            raise NotRestorable("the dump was changed after it was written: its SHA-256 differs")
        if statements != int(last[1]):
            raise NotRestorable(
                f"the dump has {statements} statements, and its last line says {int(last[1])}"
            )
