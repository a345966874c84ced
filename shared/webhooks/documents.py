"""Read JSON that a stranger wrote, without guessing.

Python's parser takes more than JSON is (`NaN`), silently drops duplicate keys, and gives up on deep
nesting in its own way. Here a body is one of three: no JSON at all (`NotJson`, the request is
refused), a document, or a document with a `flaw`: something that two readers may understand
differently, so that nobody should act on it.
"""

import json
from dataclasses import dataclass
from typing import NoReturn

__all__ = ["Document", "NotJson", "read_document"]

_MAX_DIGITS = 30


class NotJson(Exception):  # noqa: N818 - reads as what it says
    """Say that a body is not JSON in UTF-8."""


@dataclass(frozen=True, slots=True)
class Document:
    """Hold what a body says; with a `flaw` in it the value is only good for telling its type."""

    value: object
    flaw: str | None = None


class _Reader:
    """Collect the flaws of one document while it is parsed."""

    def __init__(self) -> None:
        self.flaw: str | None = None

    def pairs(self, pairs: list[tuple[str, object]]) -> dict[str, object]:
        found = dict(pairs)
        if len(found) != len(pairs):
            self.flaw = "duplicate keys"
        return found

    def constant(self, _name: str) -> None:
        self.flaw = "NaN or Infinity"

    def integer(self, text: str) -> int:
        if len(text) > _MAX_DIGITS:
            # also keeps a stranger from spending our time on quadratic conversions
            self.flaw = "a number out of any range"
            return 0
        return int(text)


def read_document(body: bytes) -> Document:
    """Return the document in a body.

    Raises:
        NotJson: the body is empty, cut short, not UTF-8 or otherwise not JSON.
    """
    reader = _Reader()
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=reader.pairs,
            parse_constant=reader.constant,
            parse_int=reader.integer,
        )
    except RecursionError:
        return Document(None, "nested too deeply")
    except ValueError as error:
        _refuse(error)
    return Document(value, reader.flaw)


def _refuse(error: ValueError) -> NoReturn:
    # the parser's own message may quote the body
    where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
    what = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "not JSON"
    raise NotJson(f"{what}{where}") from None
