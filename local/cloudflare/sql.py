"""Splitting a query's text into statements, which D1's REST API then runs as a batch."""

import re
import sqlite3

__all__ = ["IncompleteInput", "split"]


class IncompleteInput(ValueError):  # noqa: N818 - the words of the API
    """Say that the API's own splitter would tear a compound statement apart."""


_TOKEN = re.compile(
    r"""
    (?P<skip>\s+ | --[^\n]* | /\*.*?(?:\*/|\Z))
  | (?P<end>;)
  | '(?:[^']|'')*(?:'|\Z) | "(?:[^"]|"")*(?:"|\Z) | `(?:[^`]|``)*(?:`|\Z) | \[[^\]]*(?:\]|\Z)
  | \w+
  | .
    """,
    re.VERBOSE | re.DOTALL,
)
_TRIGGER_WORDS = ("CREATE", "TRIGGER")


def split(text: str) -> list[str]:
    """Cut SQL text at the semicolons that end a statement; drop what is only space and comments.

    Raises:
        IncompleteInput: a trigger is written with CRLF line ends; Cloudflare's splitter is known to
            cut such a one inside its body.
    """
    statements: list[str] = []
    start = 0
    words: list[str] = []
    for match in _TOKEN.finditer(text):
        if match["skip"] is not None:
            continue
        if match["end"] is None:
            if len(words) < 6:  # EXPLAIN QUERY PLAN CREATE TEMP TRIGGER: that far a trigger shows
                words.append(match[0].upper())
            continue
        if _is_trigger(words):
            if not sqlite3.complete_statement(text[start : match.end()]):
                continue
            if "\r\n" in text[start : match.end()]:
                raise IncompleteInput("incomplete input: SQLITE_ERROR")
        if words:
            statements.append(text[start : match.end()].strip())
        start, words = match.end(), []
    if words:
        statements.append(text[start:].strip())
    return statements


def _is_trigger(words: list[str]) -> bool:
    relevant = [w for w in words if w not in {"EXPLAIN", "QUERY", "PLAN", "TEMP", "TEMPORARY"}]
    return tuple(relevant[:2]) == _TRIGGER_WORDS
