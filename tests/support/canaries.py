"""Secrets that must not be seen, and the search for them in all the forms that they might take."""

import base64
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Canaries"]

WINDOW = 20
"""Characters of a form's beginning and of its end that give it away, should it be cut short."""


class Canaries:
    """Search for secrets; `secrets` are their texts by name.

    A secret of Standard Webhooks, `whsec_` and base64, is searched as the key, too, that it stands
    for. Forms: plain, percent-encoded, hexadecimal, base64 of both alphabets at each of the three
    places that a text can begin at in what is encoded.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._needles = {
            name: frozenset(window for form in _forms(text) for window in _windows(form))
            for name, text in secrets.items()
        }

    def find(self, where: str, data: bytes) -> Iterator[tuple[str, str]]:
        """Yield (secret's name, where) of each secret that occurs."""
        for name, needles in self._needles.items():
            if any(needle in data for needle in needles):
                yield name, where

    def find_all(self, places: Iterable[tuple[str, bytes]]) -> list[tuple[str, str]]:
        """Return what `find` yields, for all places."""
        return sorted({found for where, data in places for found in self.find(where, data)})


def _forms(text: str) -> Iterator[bytes]:
    bare = text.removeprefix("whsec_")
    yield bare.encode()
    yield urllib.parse.quote(bare, safe="").encode()
    contents = [text.encode()]
    if bare != text:
        key = base64.b64decode(bare)
        contents.append(key)
        yield key
    for content in contents:
        yield content.hex().encode()
        yield content.hex().upper().encode()
        for before in range(3):
            yield from _base64(content, before)


def _base64(content: bytes, before: int) -> Iterator[bytes]:
    """Yield what is certain of the base64 of a content that so many bytes stand before."""
    first = -(-before * 8 // 6)
    certain = (before + len(content)) * 8 // 6
    whole = bytes(before) + content
    yield base64.b64encode(whole)[first:certain]
    yield base64.urlsafe_b64encode(whole)[first:certain]


def _windows(form: bytes) -> Iterator[bytes]:
    yield form[:WINDOW]
    yield form[-WINDOW:]
