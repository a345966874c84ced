"""A dump cut into statements as it comes, without ever holding more than one and a chunk."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import apsw

from shared.dumps.errors import NotRestorable

__all__ = ["LONGEST_EVER", "statements"]

LONGEST_EVER: Final = 16_000_000
"""Bytes of a statement: more is no statement but a dump that lost its semicolons."""

_BLOCK: Final = 1 << 18

# Possessive, so that a text that does not end yet fails at once. The quotes and comments are those
# that SQLite knows; a comment may be the last thing in a dump.
_SPACE: Final = re.compile(rb"(?:[ \t\r\n\f]++|--[^\n]*+(?:\n|\Z)|/\*.*?\*/)*+", re.DOTALL)
_TO_SEMICOLON: Final = re.compile(
    rb"""(?:[^;'"`\[/-]++ | '[^']*+' | "[^"]*+" | `[^`]*+` | \[[^\]]*+\]
      | --[^\n]*+\n | /\*(?s:.*?)\*/ | -(?!-) | /(?!\*) )*+;""",
    re.VERBOSE,
)
_MAY_HOLD_SEMICOLONS: Final = re.compile(rb"(?i:create|explain)\b")


def statements(chunks: Iterable[bytes]) -> Iterator[str]:
    """Yield the statements of a dump, each with its semicolon, without the space between them.

    Raises:
        NotRestorable: what is left at the end is no whole statement, or one is not UTF-8, or has
            more than 16,000,000 bytes.
    """
    buffer, number = bytearray(), 1
    for block in _blocks(chunks):
        buffer += block
        done = 0
        for start, end in _whole(buffer):
            yield _text(buffer[start:end], number)
            number, done = number + 1, end
        del buffer[:done]
        if len(buffer) > LONGEST_EVER:
            raise NotRestorable(f"statement {number} of the dump has no end: it was damaged")
    rest = _SPACE.match(buffer)
    if rest is None or rest.end() != len(buffer):
        raise NotRestorable(f"the dump ends in the middle of statement {number}: it was cut off")


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Put small chunks together: each block may mean reading a statement's beginning again."""
    block = bytearray()
    for chunk in chunks:
        block += chunk
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def _whole(buffer: bytearray) -> Iterator[tuple[int, int]]:
    """Yield where each statement that is there as a whole begins and ends."""
    position = 0
    while True:
        space = _SPACE.match(buffer, position)
        start = position if space is None else space.end()
        end = _end(buffer, start)
        if end is None:
            return
        yield start, end
        position = end


def _end(buffer: bytearray, start: int) -> int | None:
    """Return where the statement ends that begins at `start`, or None if it is not all there."""
    compound = _MAY_HOLD_SEMICOLONS.match(buffer, start) is not None
    end = start
    while found := _TO_SEMICOLON.match(buffer, end):
        end = found.end()
        if not compound or apsw.complete(buffer[start:end].decode("utf-8", "replace")):
            return end
    return None


def _text(statement: bytearray, number: int) -> str:
    try:
        return statement.decode()
    except UnicodeDecodeError:
        raise NotRestorable(f"statement {number} of the dump is not UTF-8") from None
