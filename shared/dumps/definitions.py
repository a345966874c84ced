"""What the text of a CREATE statement says, as far as a dump must know it."""

from typing import Final

from shared.domain.sql import Token, split, tokens
from shared.dumps.errors import CannotDump

__all__ = [
    "VirtualTable",
    "closed",
    "is_autoincrement",
    "is_unique_index",
    "normal",
    "virtual_table",
]

_CREATE_VIRTUAL: Final = ("create", "virtual", "table")


class VirtualTable:
    """Hold the module of a virtual table, in lower case, and where its content is.

    `content` is None if the table keeps its own, "" if it keeps none, else the name of a table.
    """

    def __init__(self, module: str, content: str | None) -> None:
        self.module = module
        self.content = content


def virtual_table(sql: str) -> VirtualTable | None:
    """Read a CREATE VIRTUAL TABLE statement; None if it is another one."""
    found = list(tokens(sql))
    if tuple(token.text.lower() for token in found[:3]) != _CREATE_VIRTUAL:
        return None
    using = next((n for n, token in enumerate(found) if n > 3 and _is_word(token, "using")), None)
    if using is None or using + 1 >= len(found):
        return None
    return VirtualTable(found[using + 1].name, _content(found[using + 2 :]))


def _content(arguments: list[Token]) -> str | None:
    """Return the value of FTS5's option `content`: it begins an argument and has an = behind it."""
    for before, name, equals, *rest in zip(
        arguments, arguments[1:], arguments[2:], [*arguments[3:], None], strict=False
    ):
        if before.text in {"(", ","} and _is_word(name, "content") and equals.text == "=":
            value = rest[0]
            if value is None or value.kind not in {"word", "string", "quoted"}:
                return ""
            return value.text[1:-1] if value.kind == "string" else value.name
    return None


def is_autoincrement(sql: str) -> bool:
    """Say whether a table numbers its rows through sqlite_sequence."""
    return any(_is_word(token, "autoincrement") for token in tokens(sql))


def is_unique_index(sql: str) -> bool:
    """Say whether an index forbids equal entries."""
    second = list(tokens(sql))[1:2]
    return bool(second) and _is_word(second[0], "unique")


def normal(sql: str) -> str:
    """Return a definition without space at its end, its lines ending in LF.

    Space inside of texts and names stays as it is.

    Cloudflare cuts a trigger with CR LF in two (workers-sdk issues 14991 and 15044).
    """
    sql = sql.rstrip(" \t\n\f\r")
    if "\r" not in sql:
        return sql
    done, parts = 0, []
    for token in tokens(sql):
        parts += [_plain(sql[done : token.start]), token.text]
        done = token.start + len(token.text)
    return "".join(parts) + _plain(sql[done:])


def closed(sql: str, what: str) -> str:
    """Return a definition as a whole statement, its semicolon included.

    Raises:
        CannotDump: it would not be cut out of a dump as one statement.
    """
    # A definition may end in a comment, which would hide the semicolon.
    text = next((text for text in (f"{sql};", f"{sql}\n;") if _is_whole(text)), None)
    if text is None:
        raise CannotDump(f"{what} is defined by a text that does not end where its statement ends")
    if "\r\n" in text and [t.text.upper() for t in tokens(text)][1:2] == ["TRIGGER"]:
        raise CannotDump(
            f"{what} holds a text with a line end CR LF, and Cloudflare's import cuts it there: "
            "write it with char(13, 10)"
        )
    return text


def _is_whole(text: str) -> bool:
    found, rest = split(text)
    return rest is None and [one.text for one in found] == [text]


def _is_word(token: Token, word: str) -> bool:
    return token.kind == "word" and token.text.lower() == word


def _plain(space: str) -> str:
    return space.replace("\r\n", "\n").replace("\r", " ")
