"""SQL text cut into statements where SQLite itself would cut it, in time linear in the text.

`sqlite3_complete()` says whether a text ends a statement; asking it at each semicolon takes
quadratic time. This reads the same few kinds of tokens once. A test holds the two together.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Incomplete", "Statement", "Token", "split", "tokens"]

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\n\f\r]+ | --[^\n]*(?:\n|\Z) | /\*.*?\*/)
      | (?P<semicolon>;)
      | (?P<word>[A-Za-z0-9_$\x80-\U0010ffff]+)
      | (?P<string>'[^']*')
      | (?P<quoted>"[^"]*" | `[^`]*` | \[[^\]]*\])
      | (?P<open>['"`\[] | /\*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_NOT_CLOSED: Final = {
    "'": "a string that begins with ' is not closed",
    '"': 'a name that begins with " is not closed',
    "`": "a name that begins with ` is not closed",
    "[": "a name that begins with [ is not closed",
    "/*": "a comment that begins with /* is not closed",
}


@dataclass(frozen=True)
class Token:
    """Hold one token: its kind, its text, and its offset."""

    kind: str
    text: str
    start: int

    @property
    def name(self) -> str:
        """Return the name that a bare or quoted identifier means, in lower case."""
        return (self.text[1:-1] if self.kind == "quoted" else self.text).lower()


@dataclass(frozen=True)
class Statement:
    """Hold one whole statement, from its first token to its semicolon, and its line, from 1."""

    text: str
    line: int


@dataclass(frozen=True)
class Incomplete:
    """Hold what follows the last whole statement, the line where it begins, and what is missing."""

    line: int
    problem: str


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text, without white space and comments.

    A quote or comment that is never closed is the last token, of kind `open`.
    """
    for found in _TOKEN.finditer(text):
        kind = found.lastgroup or "other"
        if kind == "space":
            continue
        yield Token(kind, found.group(), found.start())
        if kind == "open":
            return


class _Statements:
    """Follow the tokens of one statement after another; say where each ends.

    A trigger ends only where `;`, `END` and `;` follow each other::

        start ─▶ plain ─(;)─▶ done
          ├─(EXPLAIN …)─▶ explain ─┐
          └─(CREATE)─▶ create ◀────┘
                         └─(TRIGGER)─▶ trigger ─(;)─▶ body ─(END)─▶ end ─(;)─▶ done
                                          ◀──(anything else)──┴──────┘
    """

    def __init__(self) -> None:
        self.state = "start"

    def ends_at(self, token: Token) -> bool:
        """Take the next token; say whether the statement ends with it."""
        if token.kind == "semicolon":
            if self.state in {"trigger", "body"}:
                self.state = "body"
                return False
            self.state = "start"
            return True
        self.state = self._after(token.text.upper() if token.kind == "word" else "")
        return False

    def _after(self, word: str) -> str:
        match self.state, word:
            case (("start" | "explain"), "CREATE"):
                return "create"
            case "start", "EXPLAIN":
                return "explain"
            case "explain", word if word not in {"EXPLAIN", "TEMP", "TEMPORARY", "TRIGGER", "END"}:
                return "explain"
            case "create", ("TEMP" | "TEMPORARY"):
                return "create"
            case "create", "TRIGGER":
                return "trigger"
            case "body", "END":
                return "end"
            case (("trigger" | "body" | "end"), _):
                return "trigger"
            case _:
                return "plain"


def split(text: str) -> tuple[tuple[Statement, ...], Incomplete | None]:
    """Return the whole statements of a text, and what is left over if anything is.

    Comments and white space around statements are dropped, and so are empty statements: D1
    refuses a statement that is followed by a comment, or is nothing else.
    """
    found: list[Statement] = []
    following = _Statements()
    start: int | None = None
    line, counted = 1, 0
    problem = ""
    for token in tokens(text):
        if start is None:
            line, counted = line + text.count("\n", counted, token.start), token.start
        if token.kind == "open":
            problem = _NOT_CLOSED[token.text]
            if start is None:
                start = token.start
            break
        if start is None and token.kind != "semicolon":
            start = token.start
        if following.ends_at(token) and start is not None:
            found.append(Statement(text[start : token.start + 1], line))
            start = None
    if start is None:
        return tuple(found), None
    if not problem and following.state in {"trigger", "body", "end"}:
        problem = "the trigger does not end: END and a semicolon are missing"
    return tuple(found), Incomplete(line, problem or "the last statement has no semicolon: add it")
